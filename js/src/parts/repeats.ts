const N = 4;
const FEW = 12;
const SHARE = 0.3;

/** Whether a text goes round in circles: 30% or more of its 4-grams have been there before. */
export function repeats(tokens: string[]): boolean {
  const n = tokens.length - N + 1;
  if (n < FEW) return false;
  const seen = new Set(Array.from({ length: n }, (_, i) => tokens.slice(i, i + N).join("\0")));
  return 1 - seen.size / n >= SHARE;
}
