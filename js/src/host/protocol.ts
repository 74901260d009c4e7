// The messages between the page and the kernel; `steerkit_widgets/_generation.py` is the other end.
import type { Row, Settings, Stopped } from "./model";

/** Python's `_protocol` must equal this: a saved page may bring an older bundle. */
export const PROTOCOL = 1;

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

export interface End {
  counts: Counts;
  stopped: Stopped;
  error: Failure | null;
}

/** `rid` names a run. It is not called `id`: ipykernel 7.4 keeps a routing table of those. */
export type ToKernel =
  | { v: 1; rid: string; op: "run"; settings: Settings }
  | { v: 1; rid: string; op: "stop" }
  | { v: 1; rid: string; op: "pull"; have: Counts }
  | { v: 1; op: "join" };

export type FromKernel =
  | { v: 1; rid: string; op: "start"; settings: Settings }
  | {
      v: 1;
      rid: string;
      op: "tokens";
      /** What is new in each list, and the number of its first item. */
      parts: { [K in keyof Parts]?: [from: number, items: Parts[K]] };
      seconds: number;
      end: End | null;
    }
  | { v: 1; rid: string | null; op: "error"; error: Failure };
