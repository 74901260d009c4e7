// The messages between the page and the kernel; `steerkit_widgets/_generation.py` is the other end.
import type { PanelDocument } from "./document";
import type { Row, Stopped } from "./panel_state";

/** Python's `_protocol` must equal this: a saved page may bring an older bundle. */
export const PROTOCOL = 1;

/** What grows while a text is written. */
export interface Parts {
  baseline: string[];
  steered: string[];
  coefficients: Row[];
}

export type Counts = Record<keyof Parts, number>;

export interface Failure {
  kind: string;
  message: string;
  hint: string;
}

/** `counts` and `stopped` have an item a seed. */
export interface End {
  counts: Counts[];
  stopped: Stopped[];
  error: Failure | null;
}

/** `rid` names a run. It is not called `id`: ipykernel 7.4 keeps a routing table of those. */
export type ToKernel =
  | { v: 1; rid: string; op: "run" | "change"; document: PanelDocument }
  | { v: 1; rid: string; op: "stop" }
  | { v: 1; rid: string; op: "pull"; have: Counts[] }
  | { v: 1; op: "join" }
  | { v: 1; op: "remember"; past: PanelDocument[]; future: PanelDocument[] }
  | { v: 1; op: "recall" };

/** For each seed what is new in each list, and the number of its first item. */
export type News = { [K in keyof Parts]?: [from: number, items: Parts[K]] }[];

export type FromKernel =
  /** `anew`: it starts now; else it has been running, and a page has asked. */
  | { v: 1; rid: string; op: "start"; document: PanelDocument; anew: boolean }
  | { v: 1; rid: string; op: "tokens"; parts: News; seconds: number; end: End | null }
  | { v: 1; rid: string | null; op: "error"; error: Failure }
  /** What the page asked to be remembered. */
  | { v: 1; op: "history"; past: PanelDocument[]; future: PanelDocument[] };
