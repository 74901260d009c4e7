import { describe, expect, it } from "vitest";
import { lines, numbers } from "../src/host/arrays";
import { Source, scaleOf } from "../src/host/reading";
import { floats, packedSource, words } from "./packed";

const SPECIAL = Uint8Array.of(1, 0, 0, 0);
/** Features 7, 20 and 90 over `<s> it rained .` */
const source = (maxima = [NaN, NaN, NaN]) =>
  new Source(
    packedSource(
      { 7: "rain", 20: "", 90: "dense" },
      [[[90, 50]], [[90, 4]], [[7, 6], [90, 8]], [[20, 1], [90, 2]]], // biome-ignore format: a token each
      maxima,
    ),
  );

describe("packed arrays", () => {
  it("are read at any offset", () => {
    const whole = new Uint8Array(20);
    for (const offset of [0, 1, 4, 7]) {
      whole.set(new Uint8Array(Float32Array.of(1.5, -2).buffer), offset);
      const data = new DataView(whole.buffer, offset, 8);
      expect([...numbers({ dtype: "float32", data }, "float32")]).toEqual([1.5, -2]);
    }
  });

  it("are refused as another type than the one expected", () => {
    expect(() => numbers(floats([1]), "uint32")).toThrow("expected uint32, got float32");
  });

  it("of texts keep empty ones", () => {
    expect(lines(words(["a", "", "日本"]))).toEqual(["a", "", "日本"]);
    expect(lines(words([]))).toEqual([]);
  });
});

describe("a reading", () => {
  it("gives one feature along the text", () => {
    expect([...source().along(source().column(7)!)]).toEqual([0, 0, 6, 0]);
    expect(source().column(8)).toBeUndefined();
  });

  it("ranks by mean over a span without special tokens", () => {
    const ranked = source().firing(0, 0, 3, SPECIAL);
    expect(ranked.map(({ column, max, count }) => [column, max, count])).toEqual([
      [2, 8, 3],
      [0, 6, 1],
      [1, 1, 1],
    ]);
    expect(ranked.map(({ mean }) => mean)).toEqual(
      [14 / 3, 2, 1 / 3].map((m) => expect.closeTo(m)),
    );
  });

  it("ranks by the share of each feature's maximum where all are known", () => {
    const measured = source([6, 2, 100]);
    expect(measured.firing(0, 2, 2, SPECIAL).map(({ column }) => column)).toEqual([0, 2]);
    expect([...measured.strongest().columns]).toEqual([2, 2, 0, 1]);
    expect([...source().strongest().columns]).toEqual([2, 2, 2, 2]);
  });

  it("takes its scale from tokens that are not special", () => {
    expect(scaleOf(source().along(2), SPECIAL)).toBe(8);
  });

  it("names a feature without a label by its number, and says where labels are from", () => {
    expect(source().name(1)).toBe("feature 20");
    expect(source().evidence(0)).toBe("Label by test, score 0.90");
    expect(source().evidence(1)).toBe("Nobody has given it a label");
  });
});
