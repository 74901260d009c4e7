// Which features a picker lists, and in which order.
import type { PickerFeatures } from "./picker_features";

export type Order = "match" | "number" | "density" | "score" | "maximum";

export interface Filter {
  /** Label scores below are left out; 0 keeps those without a score. */
  score: number;
  /** Densities above are left out; 1 keeps those that were not measured. */
  density: number;
  /** The place of a family; -1 for all. */
  family: number;
}

export const ALL: Filter = { score: 0, density: 1, family: -1 };

/** Features that pass a filter, in an order. `found` are those of a search, the best first; null for all. */
export function choose(
  features: PickerFeatures,
  found: Uint32Array | null,
  filter: Filter,
  order: Order,
): Uint32Array {
  const all = found ?? features.indices;
  const { scores, densities, families } = features;
  // Figures are float32: 0.9 among them lies below the 0.9 that is asked for.
  const [score, density] = [Math.fround(filter.score), Math.fround(filter.density)];
  const kept = all.filter(
    (index) =>
      (filter.score === 0 || scores[index]! >= score) &&
      (filter.density === 1 || densities[index]! <= density) &&
      (filter.family < 0 || families[index] === filter.family),
  );
  if (order === "match") return kept;
  if (order === "number") return kept.sort();
  const by = { density: densities, score: scores, maximum: features.maxima }[order];
  // What is not known comes last.
  const size = (index: number) => (Number.isNaN(by[index]!) ? -Infinity : by[index]!);
  return kept.sort((a, b) => size(b) - size(a) || a - b);
}
