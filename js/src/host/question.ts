import type { AnyModel } from "@anywidget/types";
import { silenceOf } from "./kernel";
import type { Failure } from "./protocol";

/** Silence longer than this is explained to the reader. */
const SILENCE_MS = 300;

type Reply<Answer> = { rid?: unknown } & (
  | { op: "taken" }
  | { op: "answer"; result: Answer }
  | { op: "error"; error: Failure }
);

/**
 * One kind of question to the kernel, of which the newest counts: an older one's answer is dropped.
 *
 * `steerkit_widgets/_asking.py` is the other end.
 */
export class Question<Args extends object, Answer> {
  /** What the last question with an answer asked, and the answer. */
  answered: { args: Args; result: Answer; buffers: DataView[] } | null = null;
  failure: Failure | null = null;
  notice = "";
  #asked: { rid: string; args: Args } | null = null;
  #gone = false;
  #count = 0;
  #silence: ReturnType<typeof setTimeout> | undefined;
  readonly #nonce = Math.random().toString(36).slice(2);
  readonly #listeners = new Set<() => void>();
  readonly #model: AnyModel;
  readonly #op: string;

  constructor(model: AnyModel, op: string, signal: AbortSignal) {
    this.#model = model;
    this.#op = op;
    const receive = (reply: Reply<Answer>, buffers: DataView[]) => this.#receive(reply, buffers);
    const disconnected = () => {
      this.#gone = true;
      this.#explain();
    };
    model.on("msg:custom", receive);
    // Of ipywidgets' own model: fires when a restart takes the kernel away.
    model.on("comm_live_update", disconnected);
    signal.addEventListener("abort", () => {
      model.off("msg:custom", receive);
      model.off("comm_live_update", disconnected);
      clearTimeout(this.#silence);
      this.#listeners.clear();
    });
  }

  get pending(): boolean {
    return this.#asked !== null;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  ask(args: Args): void {
    this.#asked = { rid: `${this.#nonce}-${++this.#count}`, args };
    this.failure = null;
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#explain(), SILENCE_MS);
    if (!this.#gone) this.#model.send({ v: 1, op: this.#op, rid: this.#asked.rid, args });
    this.#changed();
  }

  /** Forgets what was asked and answered; says why, where something is wrong. */
  clear(failure: Failure | null = null): void {
    this.#asked = null;
    this.answered = null;
    this.#settle(failure);
  }

  #receive(reply: Reply<Answer>, buffers: DataView[]): void {
    if (this.#asked === null || reply.rid !== this.#asked.rid) return;
    if (reply.op === "answer") {
      this.answered = { args: this.#asked.args, result: reply.result, buffers };
    }
    // One that is taken stays pending: the kernel works on it, however long that takes.
    if (reply.op !== "taken") this.#asked = null;
    this.#settle(reply.op === "error" ? reply.error : null);
  }

  #settle(failure: Failure | null): void {
    clearTimeout(this.#silence);
    this.failure = failure;
    this.notice = "";
    this.#changed();
  }

  #explain(): void {
    if (!this.pending) return;
    this.notice = silenceOf(this.#model, this.#gone);
    this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
