import { leadOf, type PanelDocument } from "./document";
import type { Measures, Row, Sample, Stopped, Texts } from "./panel_state";
import type { Parts } from "./protocol";

/** One text as it stands on the screen. */
export interface Shown {
  prompt: string;
  tokens: string[];
  coefficients: Row[];
  /** What the text before has beyond `tokens`: shown faintly until it is overtaken. */
  ghost: string[];
  /** The new text has been asked for, and its first token is not here yet. */
  fading: boolean;
}

/** The texts of one seed, side by side. */
export interface Pair {
  seed: number;
  baseline: Shown;
  steered: Shown;
  /** It is being written, or is about to be. */
  writing: boolean;
  /** So is the baseline. */
  both: boolean;
  stopped: Stopped | null;
  measures: Measures | null;
}

export const EMPTY: Shown = { prompt: "", tokens: [], coefficients: [], ghost: [], fading: false };

const empty = (seed: number): Pair => ({
  seed,
  baseline: EMPTY,
  steered: EMPTY,
  writing: false,
  both: false,
  stopped: null,
  measures: null,
});

/** Finished texts; one empty pair where there are none. */
export function settled(texts: Texts | null): Pair[] {
  if (!texts) return [empty(0)];
  const prompt = leadOf(texts.document.prompt);
  const pair = (sample: Sample, k: number): Pair => ({
    ...empty(texts.document.settings.seeds[k] ?? 0),
    baseline: { ...EMPTY, prompt, tokens: sample.baseline },
    steered: { ...EMPTY, prompt, tokens: sample.steered, coefficients: sample.coefficients },
    stopped: sample.stopped,
    measures: sample.measures,
  });
  return texts.samples.map(pair);
}

/** A text that replaces the one `before` it in place, token by token: no emptiness, no jump. */
function overtake(
  before: Shown,
  prompt: string,
  tokens: string[],
  coefficients: Row[],
  ended: boolean,
): Shown {
  if (tokens.length === 0) return { ...before, fading: !ended, ghost: ended ? [] : before.ghost };
  const old = [...before.tokens, ...before.ghost];
  const ghost = ended || prompt !== before.prompt ? [] : old.slice(tokens.length);
  return { prompt, tokens, coefficients, ghost, fading: false };
}

/**
 * The texts of a seed while they are written.
 *
 * The baseline stays put for a prompt, seed and sampling: `known` is all that has ever come of it.
 */
export function overtaken(
  before: Pair | undefined,
  document: PanelDocument,
  seed: number,
  { steered, coefficients }: Parts,
  known: string[],
  ended: boolean,
): Pair {
  const prompt = leadOf(document.prompt);
  const old = before ?? empty(seed);
  return {
    ...empty(seed),
    baseline:
      known.length > 0 ? { ...EMPTY, prompt, tokens: known } : { ...old.baseline, fading: !ended },
    steered: overtake(old.steered, prompt, steered, coefficients, ended),
  };
}
