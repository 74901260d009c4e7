import type { PanelDocument } from "./document";
import type { Row } from "./panel_state";
import type { Counts, End, FromKernel, News, Parts } from "./protocol";

/** A list that arrives in numbered pieces: late, twice, or with gaps. `items` has no gaps. */
class Numbered<T> {
  readonly items: T[] = [];
  readonly #early = new Map<number, T>();

  put(from: number, items: T[]): void {
    items.forEach((item, k) => {
      if (from + k >= this.items.length) this.#early.set(from + k, item);
    });
    while (this.#early.has(this.items.length)) {
      const next = this.items.length;
      this.items.push(this.#early.get(next) as T);
      this.#early.delete(next);
    }
  }
}

/** What has arrived of the texts of one seed. */
class Arrived {
  readonly #baseline = new Numbered<string>();
  readonly #steered = new Numbered<string>();
  readonly #coefficients = new Numbered<Row>();

  put({ baseline, steered, coefficients }: News[number]): void {
    if (baseline) this.#baseline.put(...baseline);
    if (steered) this.#steered.put(...steered);
    if (coefficients) this.#coefficients.put(...coefficients);
  }

  get texts(): Parts {
    return {
      baseline: this.#baseline.items,
      steered: this.#steered.items,
      coefficients: this.#coefficients.items,
    };
  }

  get have(): Counts {
    const { baseline, steered, coefficients } = this.texts;
    return {
      baseline: baseline.length,
      steered: steered.length,
      coefficients: coefficients.length,
    };
  }
}

/** What has arrived of one run. */
export class Run {
  /** The kernel has taken the run up. */
  accepted = false;
  seconds = 0;
  end: End | null = null;
  readonly #samples: Arrived[];

  constructor(
    readonly rid: string,
    readonly document: PanelDocument,
  ) {
    this.#samples = document.settings.seeds.map(() => new Arrived());
  }

  receive(message: Extract<FromKernel, { op: "tokens" }>): void {
    message.parts.forEach((news, sample) => {
      this.#samples[sample]?.put(news);
    });
    this.accepted = true;
    this.seconds = Math.max(this.seconds, message.seconds);
    this.end ??= message.end;
  }

  /** The texts of each seed, as far as they are here. */
  get texts(): Parts[] {
    return this.#samples.map((sample) => sample.texts);
  }

  get have(): Counts[] {
    return this.#samples.map((sample) => sample.have);
  }

  /** How many new tokens of the steered texts are here. */
  get length(): number {
    return this.have.reduce((sum, { steered }) => sum + steered, 0);
  }

  /** The run has ended and all of it is here. */
  get complete(): boolean {
    const counts = this.end?.counts;
    if (!counts) return false;
    return this.have.every((have, sample) =>
      (Object.keys(have) as (keyof Counts)[]).every(
        (part) => have[part] >= (counts[sample]?.[part] ?? 0),
      ),
    );
  }
}
