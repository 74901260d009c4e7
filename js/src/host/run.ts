import { baselineKey, type Row, type Settings } from "./model";
import type { Counts, End, FromKernel, Parts } from "./protocol";

/** A list that arrives in numbered pieces: late, twice, or with gaps. `items` has no gaps. */
class Numbered<T> {
  readonly items: T[] = [];
  private readonly early = new Map<number, T>();

  put(from: number, items: T[]): void {
    items.forEach((item, k) => {
      if (from + k >= this.items.length) this.early.set(from + k, item);
    });
    while (this.early.has(this.items.length)) {
      const next = this.items.length;
      this.items.push(this.early.get(next) as T);
      this.early.delete(next);
    }
  }
}

/** What has arrived of one run. */
export class Run {
  readonly key: string;
  /** The kernel has taken the run up. */
  accepted = false;
  seconds = 0;
  end: End | null = null;
  private readonly parts = {
    baseline: new Numbered<string>(),
    steered: new Numbered<string>(),
    coefficients: new Numbered<Row>(),
  };

  constructor(
    readonly rid: string,
    readonly settings: Settings,
  ) {
    this.key = baselineKey(settings);
  }

  receive(message: Extract<FromKernel, { op: "tokens" }>): void {
    const { baseline, steered, coefficients } = message.parts;
    if (baseline) this.parts.baseline.put(...baseline);
    if (steered) this.parts.steered.put(...steered);
    if (coefficients) this.parts.coefficients.put(...coefficients);
    this.accepted = true;
    this.seconds = Math.max(this.seconds, message.seconds);
    this.end ??= message.end;
  }

  get texts(): Parts {
    const { baseline, steered, coefficients } = this.parts;
    return {
      baseline: baseline.items,
      steered: steered.items,
      coefficients: coefficients.items,
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

  /** The run has ended and all of it is here. */
  get complete(): boolean {
    if (!this.end) return false;
    const { counts } = this.end;
    const have = this.have;
    return (
      have.baseline >= counts.baseline &&
      have.steered >= counts.steered &&
      have.coefficients >= counts.coefficients
    );
  }
}
