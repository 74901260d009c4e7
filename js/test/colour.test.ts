import { describe, expect, it } from "vitest";
import { contrast, mix, type Rgb, tintCap } from "../src/parts/colour";

const LIGHT: [Rgb, Rgb] = [
  [33, 33, 33],
  [255, 255, 255],
];
const DARK: [Rgb, Rgb] = [
  [222, 222, 222],
  [17, 17, 17],
];
const HUES: Rgb[] = [
  [217, 72, 15],
  [24, 100, 171],
  [255, 154, 98],
  [116, 179, 255],
];

describe("tintCap", () => {
  it.each([LIGHT, DARK])("keeps a text readable on its strongest tint", (text, background) => {
    for (const hue of HUES) {
      const cap = tintCap(text, background, hue, 1);
      expect(cap).toBeGreaterThan(0.2);
      expect(contrast(text, mix(background, hue, cap))).toBeGreaterThanOrEqual(4.5);
    }
  });

  it("gives no tint where the text has no contrast to spare", () => {
    expect(tintCap([120, 120, 120], [128, 128, 128], [255, 0, 0], 0.5)).toBe(0);
  });
});

it("contrast is that of WCAG", () => {
  expect(contrast([0, 0, 0], [255, 255, 255])).toBeCloseTo(21);
  expect(contrast([119, 119, 119], [255, 255, 255])).toBeCloseTo(4.48, 2);
});
