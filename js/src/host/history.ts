import type { PanelDocument } from "./document";

/** Changes of one kind that follow on each other this quickly are one step: a slider's way, a word typed. */
const ONE_STEP_MS = 700;
const MOST = 100;

/** The documents before and after the one on the screen. */
export class History {
  #past: PanelDocument[] = [];
  #future: PanelDocument[] = [];
  #kind = "";
  #at = 0;

  /** Notes that `before` is about to change. */
  note(before: PanelDocument, kind: string, now = performance.now()): void {
    const same = kind === this.#kind && now - this.#at < ONE_STEP_MS && this.#future.length === 0;
    this.#kind = kind;
    this.#at = now;
    if (same) return;
    this.#past = [...this.#past, before].slice(-MOST);
    this.#future = [];
  }

  get canUndo(): boolean {
    return this.#past.length > 0;
  }

  get canRedo(): boolean {
    return this.#future.length > 0;
  }

  undo(now: PanelDocument): PanelDocument | null {
    const last = this.#past.pop();
    if (!last) return null;
    this.#future.push(now);
    this.#kind = "";
    return last;
  }

  redo(now: PanelDocument): PanelDocument | null {
    const next = this.#future.pop();
    if (!next) return null;
    this.#past.push(now);
    this.#kind = "";
    return next;
  }
}
