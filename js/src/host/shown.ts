import type { Row, Settings, Texts } from "./model";
import type { Run } from "./run";

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

export interface Baseline {
  key: string;
  tokens: string[];
}

export const EMPTY: Shown = { prompt: "", tokens: [], coefficients: [], ghost: [], fading: false };

export function settled(texts: Texts | null): { baseline: Shown; steered: Shown } {
  if (!texts) return { baseline: EMPTY, steered: EMPTY };
  const { prompt } = texts.settings;
  return {
    baseline: { ...EMPTY, prompt, tokens: texts.baseline },
    steered: { ...EMPTY, prompt, tokens: texts.steered, coefficients: texts.coefficients },
  };
}

/** A text that replaces the one `before` it in place, token by token: no emptiness, no jump. */
export function overtake(
  before: Shown,
  { prompt }: Settings,
  tokens: string[],
  coefficients: Row[],
  ended: boolean,
): Shown {
  if (tokens.length === 0) return { ...before, fading: !ended, ghost: ended ? [] : before.ghost };
  const old = [...before.tokens, ...before.ghost];
  const ghost = ended || prompt !== before.prompt ? [] : old.slice(tokens.length);
  return { prompt, tokens, coefficients, ghost, fading: false };
}

export function steeredText(before: Shown, run: Run, last: Texts | null): Shown {
  const { steered, coefficients } = run.texts;
  // Ended before its first token: the last finished text is the one that counts.
  if (run.complete && steered.length === 0) return settled(last).steered;
  return overtake(before, run.settings, steered, coefficients, run.complete);
}

/** The baseline stays put for a prompt, seed and sampling: what is `known` of it needs no second look. */
export function baselineText(before: Shown, run: Run, known: Baseline): Shown {
  const { baseline } = run.texts;
  if (known.key === run.key && known.tokens.length >= baseline.length) {
    return { ...EMPTY, prompt: run.settings.prompt, tokens: known.tokens };
  }
  return overtake(before, run.settings, baseline, [], run.complete);
}
