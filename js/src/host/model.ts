import type { AnyModel } from "@anywidget/types";

/** What a run is made from. The view writes these traits; where Python writes one, the view follows. */
export interface Settings {
  prompt: string;
  strengths: number[];
  seed: number;
  temperature: number;
  max_new_tokens: number;
}

/** One edit of the panel: a vector, and how far its slider goes. */
export interface Slider {
  label: string;
  detail: string;
  limit: number;
}

/** A coefficient a vector at one token; null where it is not a finite number. */
export type Row = (number | null)[];

/** Why a text is no longer: by steerkit's words. */
export type Stopped = "end" | "length" | "cancelled" | "overflow";

/** The last finished texts, which survive a reload and an export. Python writes them. */
export interface Texts {
  settings: Settings;
  baseline: string[];
  steered: string[];
  coefficients: Row[];
  seconds: number;
  stopped: Stopped;
}

export interface PanelState extends Settings {
  _protocol: number;
  _about: string;
  _sliders: Slider[];
  _texts: Texts | null;
}

export type PanelModel = AnyModel<PanelState>;

/** Calls `fn` whenever the trait `key` changes, until `signal` aborts. */
export function watch<S extends object, K extends keyof S & string>(
  model: AnyModel<S>,
  key: K,
  signal: AbortSignal,
  fn: (value: S[K]) => void,
): void {
  const run = () => fn(model.get(key));
  model.on(`change:${key}`, run);
  // Without the callback, `off` would remove the listeners of other views too.
  signal.addEventListener("abort", () => model.off(`change:${key}`, run));
}

export function settingsOf(model: PanelModel): Settings {
  return {
    prompt: model.get("prompt"),
    strengths: model.get("strengths"),
    seed: model.get("seed"),
    temperature: model.get("temperature"),
    max_new_tokens: model.get("max_new_tokens"),
  };
}

/** Two settings with the same key have the same baseline: strengths do not enter. */
export function baselineKey({ prompt, seed, temperature, max_new_tokens }: Settings): string {
  return JSON.stringify([prompt, seed, temperature, max_new_tokens]);
}
