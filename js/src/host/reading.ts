// What a reading found, as the page has it; `steerkit_widgets/token_view.py` packs it.
import { lines, numbers, type Packed } from "./arrays";

/** A label is unsure below this score. */
export const SURE = 0.7;

export interface PackedFeatures {
  indices: Packed;
  labels: Packed;
  sources: Packed;
  scores: Packed;
  maxima: Packed;
}

export interface PackedSource extends PackedFeatures {
  name: string;
  site: string;
  starts: Packed;
  columns: Packed;
  values: Packed;
}

/** A feature, and how it fires over some tokens. */
export interface Firing {
  source: number;
  column: number;
  mean: number;
  /** What firings are ranked by: the mean as a share of the feature's maximum, or as it is where that is unknown. */
  size: number;
  max: number;
  /** At how many of the tokens. */
  count: number;
}

/** Labels of some features, and what else is known of them. A label that there is not is empty. */
export class Features {
  readonly indices: Uint32Array;
  readonly labels: string[];
  readonly sources: string[];
  readonly scores: Float32Array;
  readonly maxima: Float32Array;

  constructor(packed: PackedFeatures) {
    this.indices = numbers(packed.indices, "uint32");
    this.labels = lines(packed.labels);
    this.sources = lines(packed.sources);
    this.scores = numbers(packed.scores, "float32");
    this.maxima = numbers(packed.maxima, "float32");
  }

  name(column: number): string {
    return this.labels[column] || `feature ${this.indices[column]?.toLocaleString("en")}`;
  }

  /** Who says so, and how well it fits. */
  evidence(column: number): string {
    const score = this.scores[column]!;
    if (!this.labels[column]) return "Nobody has given it a label";
    const source = this.sources[column] || "unknown source";
    return `Label by ${source}${Number.isNaN(score) ? ", not scored" : `, score ${score.toFixed(2)}`}`;
  }
}

/** The activations of one dictionary, or of directions, at every token of a text. */
export class Source extends Features {
  readonly title: string;
  readonly site: string;
  /** Whether maxima are known, so that activations can be compared as shares of them. */
  readonly calibrated: boolean;
  readonly #starts: Uint32Array;
  readonly #columns: Uint32Array;
  readonly #values: Float32Array;
  readonly #places: Map<number, number>;
  readonly #known = new Map<number, Float32Array>();

  constructor(packed: PackedSource) {
    super(packed);
    this.title = packed.name;
    this.site = packed.site;
    this.calibrated = this.maxima.some((maximum) => maximum > 0);
    this.#starts = numbers(packed.starts, "uint32");
    this.#columns = numbers(packed.columns, "uint32");
    this.#values = numbers(packed.values, "float32");
    this.#places = new Map([...this.indices].map((index, column) => [index, column]));
  }

  get nTokens(): number {
    return this.#starts.length - 1;
  }

  /** Where a feature stands here; undefined for one that fires nowhere in the text. */
  column(feature: number): number | undefined {
    return this.#places.get(feature);
  }

  /** One feature's activation at every token. */
  along(column: number): Float32Array {
    const before = this.#known.get(column);
    if (before) return before;
    const found = new Float32Array(this.nTokens);
    for (let token = 0; token < this.nTokens; token++) {
      const end = this.#starts[token + 1]!;
      for (let k = this.#starts[token]!; k < end; k++) {
        if (this.#columns[k] === column) found[token] = this.#values[k]!;
      }
    }
    this.#known.set(column, found);
    return found;
  }

  /** The strongest feature at every token, -1 where none fires, and how strong: a share where `calibrated`. */
  strongest(): { columns: Int32Array; sizes: Float32Array } {
    const columns = new Int32Array(this.nTokens).fill(-1);
    const sizes = new Float32Array(this.nTokens);
    this.#each(0, this.nTokens - 1, (token, column, value) => {
      const size = value / this.#unit(column);
      if (Math.abs(size) <= Math.abs(sizes[token]!)) return;
      columns[token] = column;
      sizes[token] = size;
    });
    return { columns, sizes };
  }

  /** What fires from token `first` to token `last`, special ones left out: the largest first. */
  firing(source: number, first: number, last: number, special: Uint8Array): Firing[] {
    const found = new Map<number, Firing>();
    let nTokens = 0;
    for (let token = first; token <= last; token++) nTokens += special[token] ? 0 : 1;
    this.#each(first, last, (token, column, value) => {
      if (special[token] || value === 0) return;
      const seen = found.get(column) ?? { source, column, mean: 0, size: 0, max: 0, count: 0 };
      seen.mean += value / nTokens;
      seen.max = Math.abs(value) > Math.abs(seen.max) ? value : seen.max;
      seen.count += 1;
      found.set(column, seen);
    });
    for (const one of found.values()) {
      one.size = Math.abs(one.mean / this.#unit(one.column));
    }
    return [...found.values()].sort((a, b) => b.size - a.size);
  }

  /** What activations are measured in: the feature's maximum; of one that was never active, its largest here. */
  #unit(column: number): number {
    if (!this.calibrated) return 1;
    const maximum = this.maxima[column]!;
    return maximum > 0
      ? maximum
      : this.along(column).reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  }

  #each(
    first: number,
    last: number,
    call: (token: number, column: number, value: number) => void,
  ): void {
    for (let token = first; token <= last; token++) {
      const end = this.#starts[token + 1]!;
      for (let k = this.#starts[token]!; k < end; k++)
        call(token, this.#columns[k]!, this.#values[k]!);
    }
  }
}

/** The largest size among tokens that are not special: special ones are often far out of scale. NaN has none. */
export function scaleOf(values: Float32Array, special: Uint8Array): number {
  const sizes = values.filter((_, i) => !special[i]).map(Math.abs);
  return sizes.reduce((most, size) => (size > most ? size : most), 0);
}
