import type { PanelDocument } from "./document";
import type { PanelModel } from "./panel_state";

/** Changes of one kind that follow on each other this quickly are one step: a slider's way, a word typed. */
const ONE_STEP_MS = 700;
const MOST = 50;

/** The documents before and after the one on the screen, where a reload finds them. */
export class History {
  #kind = "";
  #at = 0;

  constructor(readonly model: PanelModel) {}

  /** Notes that `before` is about to change. */
  note(before: PanelDocument, kind: string, now = performance.now()): void {
    const { past, future } = this.model.get("_history");
    const same = kind === this.#kind && now - this.#at < ONE_STEP_MS && future.length === 0;
    this.#at = now;
    if (!same) this.#keep([...past, before].slice(-MOST), [], kind);
  }

  undo(now: PanelDocument): PanelDocument | undefined {
    const { past, future } = this.model.get("_history");
    if (past.length > 0) this.#keep(past.slice(0, -1), [...future, now]);
    return past.at(-1);
  }

  redo(now: PanelDocument): PanelDocument | undefined {
    const { past, future } = this.model.get("_history");
    if (future.length > 0) this.#keep([...past, now], future.slice(0, -1));
    return future.at(-1);
  }

  /** Set now, and saved with what changes next. */
  #keep(past: PanelDocument[], future: PanelDocument[], kind = ""): void {
    this.#kind = kind;
    this.model.set("_history", { past, future });
  }
}
