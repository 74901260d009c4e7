import { silenceOf } from "./kernel";
import {
  baselineKey,
  type PanelModel,
  type Row,
  type Stopped,
  settingsOf,
  type Texts,
  watch,
} from "./model";
import type { Failure, FromKernel, ToKernel } from "./protocol";
import { Run } from "./run";
import { type Baseline, baselineText, EMPTY, type Shown, settled, steeredText } from "./shown";

/** Silence longer than this is explained to the reader. */
const SILENCE_MS = 300;
/** A first look for lost messages; each further one waits twice as long, up to the limit. */
const PULL_MS = 250;
const PULL_LIMIT_MS = 2000;
/** While a hand moves a slider, a text that has begun is shown at least this long ... */
const GLANCE_MS = 100;
/** ... and one that has not begun is waited for at most this long. */
const PATIENCE_MS = 400;

/**
 * The runs of one panel, shared by all its views.
 *
 * It asks the kernel for texts, gathers what comes, asks again for what got lost, and tells its
 * listeners, at most once a frame. The newest request wins on both sides.
 */
export class Session {
  failure: Failure | null = null;
  notice = "";
  /** The largest size of each edit's coefficient so far: one scale, so that texts can be compared. */
  readonly scales: number[] = [];
  private run: Run | null = null;
  private before: { baseline: Shown; steered: Shown } = { baseline: EMPTY, steered: EMPTY };
  private known: Baseline = { key: "", tokens: [] };
  private gone = false;
  private count = 0;
  private lastSent = "";
  private sentAt = 0;
  private frame = 0;
  private moving: ReturnType<typeof setTimeout> | undefined;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private lost: ReturnType<typeof setTimeout> | undefined;
  private readonly nonce = Math.random().toString(36).slice(2);
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly model: PanelModel,
    signal: AbortSignal,
  ) {
    const receive = (message: FromKernel) => this.receive(message);
    const disconnected = () => this.disconnected();
    model.on("msg:custom", receive);
    // Of ipywidgets' own model: fires when a restart takes the kernel away.
    model.on("comm_live_update", disconnected);
    watch(model, "_texts", signal, (texts) => this.settle(texts));
    signal.addEventListener("abort", () => {
      model.off("msg:custom", receive);
      model.off("comm_live_update", disconnected);
      cancelAnimationFrame(this.frame);
      for (const timer of [this.moving, this.silence, this.lost]) clearTimeout(timer);
      this.listeners.clear();
    });
    this.remember(model.get("_texts"));
    // A page that was reloaded while a text was running goes on with it.
    this.send({ v: 1, op: "join" });
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get running(): boolean {
    return this.run !== null && !this.run.complete;
  }

  get texts(): { baseline: Shown; steered: Shown } {
    const last = this.model.get("_texts");
    if (!this.run) return settled(last);
    return {
      baseline: baselineText(this.before.baseline, this.run, this.known),
      steered: steeredText(this.before.steered, this.run, last),
    };
  }

  /** Tokens of the steered text a second. */
  get rate(): number {
    const last = this.model.get("_texts");
    const [n, seconds] = this.run?.texts.steered.length
      ? [this.run.texts.steered.length, this.run.seconds]
      : [last?.steered.length ?? 0, last?.seconds ?? 0];
    return seconds > 0 ? n / seconds : 0;
  }

  get stopped(): Stopped | null {
    const ended = this.run?.texts.steered.length ? this.run.end : this.model.get("_texts");
    return ended?.stopped ?? null;
  }

  /** Starts a text with the settings as they are now; one that is running gives way. */
  start(): void {
    clearTimeout(this.moving);
    this.moving = undefined;
    if (this.gone) {
      this.notice = silenceOf(this.model, true);
      this.changed();
      return;
    }
    const settings = settingsOf(this.model);
    if (settings.prompt === "") {
      this.failure = {
        kind: "EmptyPrompt",
        message: "The prompt is empty.",
        hint: "Write how the text should begin, then press Run.",
      };
      this.changed();
      return;
    }
    this.lastSent = `${this.nonce}-${++this.count}`;
    this.sentAt = performance.now();
    this.begin(new Run(this.lastSent, settings));
    this.send({ v: 1, rid: this.lastSent, op: "run", settings });
  }

  /** Starts a text for a setting that may be on the move: the newest position always gets its turn. */
  move(): void {
    clearTimeout(this.moving);
    const begun = (this.run?.texts.steered.length ?? 0) > 0;
    const due = this.running ? this.sentAt + (begun ? GLANCE_MS : PATIENCE_MS) : 0;
    const wait = due - performance.now();
    if (wait <= 0) this.start();
    else this.moving = setTimeout(() => this.start(), wait);
  }

  stop(): void {
    clearTimeout(this.moving);
    this.moving = undefined;
    if (!this.run || this.run.complete) return;
    this.send({ v: 1, rid: this.run.rid, op: "stop" });
    // A kernel that has not begun cannot confirm: the page need not wait for it.
    if (!this.run.accepted) this.endHere();
  }

  private begin(run: Run): void {
    this.before = this.texts;
    this.run = run;
    this.failure = null;
    this.notice = "";
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.explain(), SILENCE_MS);
    this.watchForLoss(PULL_MS);
    this.changed();
  }

  private receive(message: FromKernel): void {
    this.gone = false;
    if (message.op === "start") this.adopt(message);
    else if (message.op === "error") {
      if (message.rid !== null && message.rid !== this.run?.rid) return;
      this.failure = message.error;
      this.endHere();
    } else if (message.op === "tokens" && message.rid === this.run?.rid) {
      this.take(this.run, message);
    }
  }

  /** The kernel has taken up a run: ours, or one that Python or another page started. */
  private adopt({ rid, settings }: Extract<FromKernel, { op: "start" }>): void {
    const superseded = rid.startsWith(`${this.nonce}-`) && rid !== this.lastSent;
    if (superseded) return;
    if (rid !== this.run?.rid) this.begin(new Run(rid, settings));
    if (this.run) this.run.accepted = true;
  }

  private take(run: Run, message: Extract<FromKernel, { op: "tokens" }>): void {
    run.receive(message);
    const { baseline, steered, coefficients } = run.texts;
    this.rescale(coefficients);
    if (run.key !== this.known.key || baseline.length > this.known.tokens.length) {
      if (baseline.length > 0) this.known = { key: run.key, tokens: baseline };
    }
    if (steered.length > 0) {
      clearTimeout(this.silence);
      this.notice = "";
    }
    if (run.complete) this.ended(run.end?.error ?? null);
    else this.watchForLoss(PULL_MS);
    if (this.moving !== undefined) this.move();
    this.changed();
  }

  private ended(error: Failure | null): void {
    clearTimeout(this.silence);
    clearTimeout(this.lost);
    this.failure = error;
    this.notice = "";
  }

  /** Ends the run with what there is, without the kernel. */
  private endHere(): void {
    if (this.run) this.run.end = { counts: this.run.have, stopped: "cancelled", error: null };
    this.ended(this.failure);
    this.changed();
  }

  /** Python has written the last finished texts: they are the truth, unless newer ones are coming. */
  private settle(texts: Texts | null): void {
    this.gone = false;
    this.remember(texts);
    if (!this.running && !this.failure) this.run = null;
    this.changed();
  }

  private remember(texts: Texts | null): void {
    if (!texts) return;
    this.rescale(texts.coefficients);
    if (texts.baseline.length > 0) {
      this.known = { key: baselineKey(texts.settings), tokens: texts.baseline };
    }
  }

  private rescale(rows: Row[]): void {
    for (const row of rows) {
      row.forEach((value, column) => {
        this.scales[column] = Math.max(this.scales[column] ?? 0, Math.abs(value ?? 0));
      });
    }
  }

  private explain(): void {
    if (!this.run || this.run.complete || this.run.texts.steered.length > 0) return;
    this.notice = this.run.accepted
      ? "Waiting for the model: it reads the prompt, or works for another panel or a cell."
      : silenceOf(this.model, this.gone);
    this.silence = setTimeout(() => this.explain(), SILENCE_MS);
    this.changed();
  }

  private disconnected(): void {
    this.gone = true;
    if (!this.running) return;
    this.endHere();
    this.notice = silenceOf(this.model, true);
  }

  private watchForLoss(wait: number): void {
    clearTimeout(this.lost);
    this.lost = setTimeout(() => {
      if (!this.run || this.run.complete) return;
      this.send({ v: 1, rid: this.run.rid, op: "pull", have: this.run.have });
      this.watchForLoss(Math.min(2 * wait, PULL_LIMIT_MS));
    }, wait);
  }

  private send(message: ToKernel): void {
    if (!this.gone) this.model.send(message);
  }

  private changed(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      for (const listener of this.listeners) listener();
    });
  }
}
