// What a panel's screen asks for, as one JSON document; `steerkit_widgets/_document.py` is the other
// end. Edits, scopes and conditions are written as `steerkit/plan_json.py` has them.

/** Places in the panel's lists of vectors and dictionaries. */
export type TargetRef =
  | { vector: number }
  | { dictionary: number; feature: number; label: string }
  | { dictionary: number; error_term: true }
  | { dictionary: number; reweighing: { how: string; by: string; as_published: boolean } };

export type Unit = "raw" | "max" | "residual" | "norm";
export type Relation = ">" | ">=" | "<" | "<=";
/** From start to stop; null is an open end. */
export type Window = [number | null, number | null];

/** What is not as it is by default: every token but special ones. */
export interface Where {
  prompt?: boolean;
  generated?: boolean;
  last_prompt?: boolean;
  positions?: Window[];
  new_positions?: Window[];
  roles?: string[];
  messages?: number[];
  tokens?: number[];
  not_tokens?: number[];
  special?: boolean;
  decay?: number;
}

export interface Comparison {
  target: TargetRef;
  relation: Relation;
  threshold: number;
  reading: string;
}

/** The page edits single comparisons; what combines several was made in Python. */
export type Condition =
  | Comparison
  | { in_prompt: Condition }
  | { so_far: Condition }
  | { and: Condition[] }
  | { or: Condition[] }
  | { not: Condition };

export interface Edit {
  target: TargetRef;
  operator: string;
  strength?: number;
  unit?: Unit;
  low?: number;
  enabled?: boolean;
  direct?: boolean;
  where?: Where;
  when?: Condition;
  other?: TargetRef;
}

/** One edit of the list, with a name that stays its own and the number of its colour. */
export interface EditRow {
  id: string;
  hue: number;
  edit: Edit;
}

export interface Turn {
  role: string;
  content: string;
}

export type Prompt = { text: string } | { messages: Turn[] };

export interface Settings {
  max_new_tokens: number;
  temperature: number;
  top_p: number;
  seeds: number[];
}

/** Up to so many tokens of the new text, these edits were in force. */
export interface Stage {
  until: number;
  edits: EditRow[];
}

export interface PanelDocument {
  prompt: Prompt;
  edits: EditRow[];
  settings: Settings;
  /** After the edits at a site, each token gets its norm back. */
  preserve_norm: boolean;
  /** Random directions of the same lengths stand in for the edits' own. */
  control: boolean;
  before: Stage[];
}

/** How far a slider goes in a unit, and what a raw strength is multiplied by, where that is known. */
export interface Scale {
  limit: number;
  times: number | null;
}

/** How a target is shown. */
export interface Target {
  target: TargetRef;
  label: string;
  detail: string;
  score: number | null;
  /** The unit in which it joins the list. */
  unit: Unit;
  units: Partial<Record<Unit, Scale>>;
}

/** The name of a target in messages; `key` in `steerkit_widgets/_targets.py` is the same. */
export function keyOf(target: TargetRef): string {
  if ("vector" in target) return `v${target.vector}`;
  const place = `d${target.dictionary}:`;
  if ("feature" in target) return place + target.feature;
  if ("error_term" in target) return `${place}error`;
  const { how, by, as_published } = target.reweighing;
  return `${place}${how} ${as_published} ${by}`;
}

/** Two documents with the same key have the same baseline for a seed: edits do not enter. */
export function baselineKey({ prompt, settings }: PanelDocument, seed: number): string {
  const { max_new_tokens, temperature, top_p } = settings;
  return JSON.stringify([prompt, max_new_tokens, temperature, top_p, seed]);
}

/** Two documents with the same key differ at most in their edits. */
export function contextKey(document: PanelDocument): string {
  return JSON.stringify({ ...document, edits: [] });
}

/** What a text begins with, as it is printed before it. */
export function leadOf(prompt: Prompt): string {
  if ("text" in prompt) return prompt.text;
  return prompt.messages.map(({ role, content }) => `${role}: ${content}\n`).join("");
}

/** Whether there is nothing to write on from. */
export function isEmpty(prompt: Prompt): boolean {
  if ("text" in prompt) return prompt.text === "";
  return prompt.messages.every(({ content }) => content === "");
}

/** The rows with another one, under a name and in a colour that are free. */
export function withEdit(rows: EditRow[], edit: Edit, hues: number): EditRow[] {
  const names = new Set(rows.map(({ id }) => id));
  let n = 0;
  while (names.has(`e${n}`)) n += 1;
  const uses = (hue: number) => rows.filter((row) => row.hue === hue).length;
  const free = Array.from({ length: hues }, (_, hue) => hue).sort((a, b) => uses(a) - uses(b));
  return [...rows, { id: `e${n}`, hue: free[0] ?? 0, edit }];
}
