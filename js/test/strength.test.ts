import { describe, expect, it } from "vitest";
import { format, moved, parse, stepAt, toPosition, toStrength } from "../src/parts/strength";

const LIMIT = 5;

describe("the scale", () => {
  it("has zero in the middle and the limit at the ends", () => {
    expect([toPosition(0, LIMIT), toPosition(LIMIT, LIMIT), toPosition(-LIMIT, LIMIT)]).toEqual([
      0, 1, -1,
    ]);
    expect(toPosition(99, LIMIT)).toBe(1);
  });

  it("is fine near zero and coarse far out", () => {
    expect(stepAt(0.1, LIMIT)).toBeLessThan(stepAt(4, LIMIT));
    expect(toPosition(0.5, LIMIT)).toBeGreaterThan(0.25);
  });

  it("settles into zero, and gives back what it is given", () => {
    expect(toStrength(0.02, LIMIT)).toBe(0);
    for (const strength of [-5, -1.2, 0, 0.05, 0.35, 2, 4.5]) {
      expect(toStrength(toPosition(strength, LIMIT), LIMIT)).toBe(strength);
    }
  });
});

describe("keys", () => {
  it("step up and down through the same values, and through zero", () => {
    const up: number[] = [-LIMIT];
    while (up.at(-1)! < LIMIT) up.push(moved(up.at(-1)!, "ArrowRight", LIMIT)!);
    const down: number[] = [LIMIT];
    while (down.at(-1)! > -LIMIT) down.push(moved(down.at(-1)!, "ArrowLeft", LIMIT)!);
    expect(down.reverse()).toEqual(up);
    expect(up).toContain(0);
    expect(up).toContain(0.05);
  });

  it("page, go to the ends, and go to zero", () => {
    expect(moved(0, "PageUp", LIMIT)).toBe(0.5);
    expect(moved(1, "Home", LIMIT)).toBe(-LIMIT);
    expect(moved(1, "End", LIMIT)).toBe(LIMIT);
    expect(moved(1, "0", LIMIT)).toBe(0);
    expect(moved(1, "d", LIMIT)).toBeNull();
  });

  it("leave a typed strength beyond the limit in reach", () => {
    expect(moved(30, "ArrowUp", LIMIT)).toBe(30);
    expect(moved(30, "ArrowDown", LIMIT)).toBeLessThan(30);
  });
});

describe("numbers as text", () => {
  it("carry their sign", () => {
    expect([1.4, 0, -2, 0.05].map(format)).toEqual(["+1.4", "0", "−2", "+0.05"]);
  });

  it("are read as people type them", () => {
    expect(["+1.4", "−2", "-2", ".5", "1,5", " 3 ", "1."].map(parse)).toEqual([
      1.4, -2, -2, 0.5, 1.5, 3, 1,
    ]);
    expect(["", "-", "+", "two", "1.4.2", "Infinity", "NaN", "1e999"].map(parse)).toEqual(
      Array(8).fill(null),
    );
  });
});
