/** More texts at once than this help nobody. */
const MOST = 16;

/** Seeds as they are typed: `0`, `0, 7` or `0-3`; null if that is none. */
export function parseSeeds(text: string): number[] | null {
  const seeds: number[] = [];
  for (const part of text.split(",")) {
    const [, first, last = first] = /^\s*(\d+)\s*(?:[-–]\s*(\d+)\s*)?$/.exec(part) ?? [];
    const [from, to] = [Number(first), Number(last)];
    if (!first || !Number.isSafeInteger(to) || to < from || to - from >= MOST) return null;
    for (let seed = from; seed <= to; seed++) seeds.push(seed);
  }
  return seeds.length <= MOST ? seeds : null;
}

/** The same again, runs of neighbours as one. */
export function writeSeeds(seeds: number[]): string {
  const parts: [number, number][] = [];
  for (const seed of seeds) {
    const last = parts.at(-1);
    if (last && seed === last[1] + 1) last[1] = seed;
    else parts.push([seed, seed]);
  }
  return parts.map(([from, to]) => (from === to ? from : `${from}-${to}`)).join(", ");
}
