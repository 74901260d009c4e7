import type { PanelDocument } from "./document";
import type { PanelModel } from "./panel_state";
import type { FromKernel } from "./protocol";

/** Changes of one kind that follow on each other this quickly are one step: a slider's way, a word typed. */
const ONE_STEP_MS = 700;
const MOST = 50;
/** They go out in one message, and the connection breaks at 10 MiB: three bytes a character at most. */
const MOST_CHARACTERS = 3e6;

/**
 * The documents that Undo and Redo go to, the nearest last.
 *
 * The kernel keeps them for a reload. They are no trait: saved notebooks and pages have all traits,
 * and nobody expects there what was deleted.
 */
export class History {
  past: PanelDocument[] = [];
  future: PanelDocument[] = [];
  #kind = "";
  #at = 0;
  readonly #model: PanelModel;

  constructor(model: PanelModel, signal: AbortSignal, changed: () => void) {
    this.#model = model;
    const receive = (message: FromKernel) => {
      // What was done here meanwhile is newer.
      if (message.op !== "history" || this.past.length + this.future.length > 0) return;
      ({ past: this.past, future: this.future } = message);
      changed();
    };
    model.on("msg:custom", receive);
    signal.addEventListener("abort", () => model.off("msg:custom", receive));
    model.send({ v: 1, op: "recall" });
  }

  /** Notes that `before` is about to change. */
  note(before: PanelDocument, kind: string, now = performance.now()): void {
    const same = kind === this.#kind && now - this.#at < ONE_STEP_MS && this.future.length === 0;
    this.#at = now;
    if (!same) this.#keep([...this.past, before], [], kind);
  }

  undo(now: PanelDocument): PanelDocument | undefined {
    const to = this.past.at(-1);
    if (to) this.#keep(this.past.slice(0, -1), [...this.future, now]);
    return to;
  }

  redo(now: PanelDocument): PanelDocument | undefined {
    const to = this.future.at(-1);
    if (to) this.#keep([...this.past, now], this.future.slice(0, -1));
    return to;
  }

  #keep(past: PanelDocument[], future: PanelDocument[], kind = ""): void {
    const kept = past.slice(-MOST);
    while (kept.length > 1 && JSON.stringify([kept, future]).length > MOST_CHARACTERS) kept.shift();
    this.#kind = kind;
    this.past = kept;
    this.future = future;
    this.#model.send({ v: 1, op: "remember", past: kept, future });
  }
}
