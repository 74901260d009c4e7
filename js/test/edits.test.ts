import { describe, expect, it } from "vitest";
import type { Edit, EditRow } from "../src/host/document";
import { limitOf, partners, possible, withOperator, withUnit } from "../src/parts/operators";
import {
  comparisonOf,
  conditionOf,
  SCOPES,
  type Scope,
  scopeInWords,
  scopeOf,
  withScope,
} from "../src/parts/scopes";
import { parseSeeds, writeSeeds } from "../src/parts/seeds";
import { DOCUMENT, row, target } from "./fake_model";

const [first, second] = DOCUMENT.edits as [EditRow, EditRow];

describe("operators", () => {
  it("keep a strength where it means the same, and rest where it does not", () => {
    const edit = { ...first, edit: { ...first.edit, strength: 2 } };
    expect(withOperator(edit, "set", [edit])).toMatchObject({ operator: "set", strength: 2 });
    const scaled = withOperator(edit, "scale", [edit]);
    expect(scaled).toEqual({ target: { vector: 0 }, operator: "scale", strength: 1 });
    expect(withOperator({ ...edit, edit: scaled }, "add", [edit])).toMatchObject({ strength: 0 });
    expect(withOperator(edit, "ablate", [edit])).not.toHaveProperty("strength");
    expect(withOperator(edit, "cap", [edit])).toMatchObject({ low: 0, strength: 2 });
  });

  it("of two targets need another one of the same kind", () => {
    expect(possible("move_to", first, [first])).toBe(false);
    expect(possible("move_to", first, [first, second])).toBe(true);
    expect(withOperator(first, "move_to", [first, second]).other).toEqual({ vector: 1 });
    const elsewhere = withOperator(first, "move_to", [first, row(5)]);
    expect(partners({ ...first, edit: elsewhere }, [first, second, second])).toEqual([
      { vector: 1 },
      { vector: 5 },
    ]);
    const feature = (n: number): EditRow => ({
      ...row(0),
      edit: { target: { dictionary: 0, feature: n, label: "" }, operator: "add" },
    });
    expect(possible("rotate", feature(1), [feature(1), feature(2)])).toBe(false);
    expect(partners(feature(1), [feature(1), feature(2), first])).toHaveLength(1);
  });

  it("convert a strength by what is known, and rest where nothing is", () => {
    const edit: Edit = { ...first.edit, strength: 1.5 };
    expect(withUnit(edit, "residual", target(0))).toMatchObject({ strength: 3, unit: "residual" });
    const unknown = {
      ...target(0),
      units: { raw: { limit: 1, times: 1 }, norm: { limit: 1, times: null } },
    };
    expect(withUnit(edit, "norm", unknown)).toMatchObject({ strength: 0, unit: "norm" });
    expect(limitOf({ ...edit, unit: "residual" }, target(0))).toBe(10);
  });
});

describe("scopes", () => {
  it("are read as they were written", () => {
    for (const scope of Object.keys(SCOPES) as Scope[]) {
      const n = scope === "from" || scope === "first" ? 7 : 1;
      expect(scopeOf(withScope({ decay: 0.9 }, scope, n))).toEqual({ scope, n });
    }
    expect(scopeInWords(undefined)).toBe("");
    expect(scopeInWords({ prompt: false, new_positions: [[4, null]] })).toBe("new tokens from 5");
    expect(scopeInWords({ tokens: [3] })).toBe("at chosen tokens");
  });

  it("of conditions too; what Python combined is left alone", () => {
    const comparison = {
      target: { vector: 0 },
      relation: ">" as const,
      threshold: 1,
      reading: "coefficient",
    };
    for (const span of ["here", "in_prompt", "so_far"] as const) {
      expect(comparisonOf(conditionOf(comparison, span))).toEqual({ comparison, span });
    }
    expect(comparisonOf({ not: comparison })).toBeNull();
  });
});

it("takes seeds as people write them", () => {
  expect(parseSeeds("3")).toEqual([3]);
  expect(parseSeeds("0-2, 7")).toEqual([0, 1, 2, 7]);
  expect(writeSeeds([0, 1, 2, 7])).toBe("0-2, 7");
  for (const wrong of ["", "x", "1-", "3-1", "0-99", "-1"]) expect(parseSeeds(wrong)).toBeNull();
});
