export type Rgb = [red: number, green: number, blue: number];

/** WCAG 2.2 asks for 4.5 between a text and what it stands on; the rest is for rounding. */
const CONTRAST = 4.6;

/** Relative luminance, by WCAG 2.2. */
export function luminance(colour: Rgb): number {
  const [r, g, b] = colour.map((channel) => {
    const c = channel / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function contrast(a: Rgb, b: Rgb): number {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

export function mix(under: Rgb, over: Rgb, share: number): Rgb {
  return under.map((c, k) => c + ((over[k] as number) - c) * share) as Rgb;
}

/** The strongest share, up to `most`, in which `hue` may tint `background` and leave `text` readable. */
export function tintCap(text: Rgb, background: Rgb, hue: Rgb, most: number): number {
  let share = most;
  while (share > 0 && contrast(text, mix(background, hue, share)) < CONTRAST) share -= 0.01;
  return Math.max(0, share);
}
