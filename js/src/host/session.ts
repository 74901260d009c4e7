import { baselineKey, contextKey, isEmpty, type PanelDocument } from "./document";
import { silenceOf } from "./kernel";
import { watch } from "./model";
import type { PanelModel, Row, Stopped, Texts } from "./panel_state";
import type { Failure, FromKernel, Parts, ToKernel } from "./protocol";
import { Run } from "./run";
import { overtaken, type Pair, settled } from "./shown";

/** Silence longer than this is explained to the reader. */
const SILENCE_MS = 300;
/** A first look for lost messages; each further one waits twice as long, up to the limit. */
const PULL_MS = 250;
const PULL_LIMIT_MS = 2000;
/** While a hand moves a slider, a text that has begun is shown at least this long ... */
const GLANCE_MS = 100;
/** ... and one that has not begun is waited for at most this long. */
const PATIENCE_MS = 400;
/** Baselines that are kept for the next run. */
const MOST_KNOWN = 64;
const UNKNOWN = { tokens: [], whole: false };

/**
 * The runs of one panel, shared by all its views.
 *
 * It asks the kernel for texts, gathers what comes, asks again for what got lost, and tells its
 * listeners, at most once a frame. The newest request wins on both sides.
 */
export class Session {
  failure: Failure | null = null;
  notice = "";
  /** Changes of edits act on the running text from its next token on, in place of starting again. */
  midway = false;
  /** The largest size of each edit's coefficient so far: one scale, so that texts can be compared. */
  readonly scales: Record<string, number> = {};
  #run: Run | null = null;
  #before: Pair[] = [];
  /** The baselines of the last documents, by their keys, as far as they are here. */
  #known = new Map<string, { tokens: string[]; whole: boolean }>();
  #gone = false;
  #count = 0;
  #lastSent = "";
  #sentAt = 0;
  /** A change of this page was sent to the last run that the kernel took up. */
  #steered = false;
  #frame = 0;
  #moving: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #lost: ReturnType<typeof setTimeout> | undefined;
  readonly #nonce = Math.random().toString(36).slice(2);
  readonly #listeners = new Set<() => void>();
  readonly #model: PanelModel;

  constructor(model: PanelModel, signal: AbortSignal) {
    this.#model = model;
    const receive = (message: FromKernel) => this.#receive(message);
    const disconnected = () => this.#disconnected();
    model.on("msg:custom", receive);
    // Of ipywidgets' own model: fires when a restart takes the kernel away.
    model.on("comm_live_update", disconnected);
    watch(model, "_texts", signal, (texts) => this.#settle(texts));
    signal.addEventListener("abort", () => {
      model.off("msg:custom", receive);
      model.off("comm_live_update", disconnected);
      cancelAnimationFrame(this.#frame);
      for (const timer of [this.#moving, this.#silence, this.#lost]) clearTimeout(timer);
      this.#listeners.clear();
    });
    this.#remember(model.get("_texts"));
    // A page that was reloaded while a text was running goes on with it.
    this.#send({ v: 1, op: "join" });
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get running(): boolean {
    return this.#run !== null && !this.#run.complete;
  }

  /** There is a text, or one is on its way. */
  get shown(): boolean {
    return this.#run !== null || this.#model.get("_texts") !== null;
  }

  get pairs(): Pair[] {
    const last = this.#model.get("_texts");
    const run = this.#run;
    // Ended before its first token: the last finished texts are the ones that count.
    if (!run || (run.complete && run.length === 0)) return settled(last);
    const { document, texts, complete } = run;
    return texts.map((parts, k) => {
      const seed = document.settings.seeds[k] ?? 0;
      const { tokens, whole } = this.#known.get(baselineKey(document, seed)) ?? UNKNOWN;
      const pair = overtaken(this.#before[k], document, seed, parts, tokens, complete);
      const writing = !complete && !texts.slice(k + 1).some(({ steered }) => steered.length > 0);
      return { ...pair, writing, both: writing && !whole, stopped: run.end?.stopped[k] ?? null };
    });
  }

  /** Tokens of the steered texts a second. */
  get rate(): number {
    const last = this.#model.get("_texts");
    const finished = last?.samples.reduce((sum, { steered }) => sum + steered.length, 0) ?? 0;
    const [n, seconds] = this.#run?.length
      ? [this.#run.length, this.#run.seconds]
      : [finished, last?.seconds ?? 0];
    return seconds > 0 ? n / seconds : 0;
  }

  /** Starts a text with the document as it is now; one that is running gives way. */
  start(): void {
    clearTimeout(this.#moving);
    this.#moving = undefined;
    if (this.#gone) {
      this.notice = silenceOf(this.#model, true);
      this.#changed();
      return;
    }
    const document = this.#model.get("_document");
    if (isEmpty(document.prompt)) {
      this.failure = {
        kind: "EmptyPrompt",
        message: "The prompt is empty.",
        hint: "Write how the text should begin, then press Run.",
      };
      this.#changed();
      return;
    }
    this.#lastSent = `${this.#nonce}-${++this.#count}`;
    this.#sentAt = performance.now();
    this.#begin(new Run(this.#lastSent, document));
    this.#send({ v: 1, rid: this.#lastSent, op: "run", document });
  }

  /** Starts a text for a setting that may be on the move: the newest position always gets its turn. */
  move(): void {
    clearTimeout(this.#moving);
    this.#moving = undefined;
    const run = this.#run;
    const document = this.#model.get("_document");
    const begun = (run?.length ?? 0) > 0;
    // All but the edits holds for a whole text.
    const fits = run !== null && contextKey(document) === contextKey(run.document);
    if (this.midway && begun && fits && !run.complete) {
      this.#steer(run.rid);
      return;
    }
    const due = this.running ? this.#sentAt + (begun ? GLANCE_MS : PATIENCE_MS) : 0;
    const wait = due - performance.now();
    if (wait <= 0) this.start();
    else this.#moving = setTimeout(() => this.start(), wait);
  }

  steerMidway(midway: boolean): void {
    this.midway = midway;
    this.#changed();
  }

  stop(): void {
    clearTimeout(this.#moving);
    this.#moving = undefined;
    if (!this.#run || this.#run.complete) return;
    this.#send({ v: 1, rid: this.#run.rid, op: "stop" });
    // A kernel that has not begun cannot confirm: the page need not wait for it.
    if (!this.#run.accepted) this.#endHere();
  }

  /** Has the running text go on with the page's edits. */
  #steer(rid: string): void {
    this.#steered = true;
    this.#send({ v: 1, rid, op: "change", document: this.#model.get("_document") });
  }

  #begin(run: Run): void {
    this.#before = this.pairs;
    this.#run = run;
    this.failure = null;
    this.notice = "";
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#explain(), SILENCE_MS);
    this.#watchForLoss(PULL_MS);
    this.#changed();
  }

  #receive(message: FromKernel): void {
    this.#gone = false;
    if (message.op === "start") this.#adopt(message);
    else if (message.op === "error") {
      if (message.rid !== null && message.rid !== this.#run?.rid) return;
      this.failure = message.error;
      this.#endHere();
    } else if (message.op === "tokens" && message.rid === this.#run?.rid) {
      this.#take(this.#run, message);
    }
  }

  /** The kernel has taken up a run: ours, or one that Python or another page started. */
  #adopt({ rid, document, anew }: Extract<FromKernel, { op: "start" }>): void {
    const own = rid.startsWith(`${this.#nonce}-`);
    if (own && rid !== this.#lastSent) return; // superseded
    // Python begins again for a change of ours that came after the last token: the hand may have moved on.
    const ours = this.#steered && rid.startsWith("python-");
    const differs = JSON.stringify(this.#model.get("_document")) !== JSON.stringify(document);
    this.#steered = false;
    // Changes of another page are not echoed: its sliders show in its runs.
    if (!own && !ours && anew && differs) this.#model.set("_document", document);
    if (rid !== this.#run?.rid) this.#begin(new Run(rid, document));
    if (this.#run) this.#run.accepted = true;
    if (ours && differs) this.#steer(rid);
  }

  #take(run: Run, message: Extract<FromKernel, { op: "tokens" }>): void {
    run.receive(message);
    run.texts.forEach((parts, k) => {
      this.#learn(run.document, k, parts, run.complete ? run.end?.stopped[k] : "cancelled");
    });
    if (run.length > 0) {
      clearTimeout(this.#silence);
      this.notice = "";
    }
    if (run.complete) this.#ended(run.end?.error ?? null);
    else this.#watchForLoss(PULL_MS);
    if (this.#moving !== undefined) this.move();
    this.#changed();
  }

  #ended(error: Failure | null): void {
    clearTimeout(this.#silence);
    clearTimeout(this.#lost);
    this.failure = error;
    this.notice = "";
  }

  /** Ends the run with what there is, without the kernel. */
  #endHere(): void {
    if (this.#run) {
      const counts = this.#run.have;
      this.#run.end = { counts, stopped: counts.map(() => "cancelled"), error: null };
    }
    this.#ended(this.failure);
    this.#changed();
  }

  /** Python has written the last finished texts: they are the truth, unless newer ones are coming. */
  #settle(texts: Texts | null): void {
    this.#gone = false;
    this.#remember(texts);
    if (texts?.rid === this.#run?.rid || (!this.running && !this.failure)) this.#run = null;
    this.#changed();
  }

  #remember(texts: Texts | null): void {
    if (!texts) return;
    texts.samples.forEach((sample, k) => {
      this.#learn(texts.document, k, sample, sample.stopped);
    });
  }

  #learn(
    document: PanelDocument,
    k: number,
    { baseline, steered, coefficients }: Parts,
    stopped: Stopped | undefined,
  ): void {
    this.#rescale(coefficients);
    const key = baselineKey(document, document.settings.seeds[k] ?? 0);
    const known = this.#known.get(key) ?? UNKNOWN;
    if (baseline.length === 0 || baseline.length < known.tokens.length) return;
    // The two grow together: a baseline that stays behind has ended.
    const ended = baseline.length < steered.length || stopped !== "cancelled";
    this.#known.delete(key);
    this.#known.set(key, { tokens: baseline, whole: known.whole || ended });
    if (this.#known.size > MOST_KNOWN)
      this.#known.delete(this.#known.keys().next().value as string);
  }

  #rescale(rows: Row[]): void {
    for (const row of rows) {
      for (const [id, value] of Object.entries(row)) {
        this.scales[id] = Math.max(this.scales[id] ?? 0, Math.abs(value ?? 0));
      }
    }
  }

  #explain(): void {
    if (!this.#run || this.#run.complete || this.#run.length > 0) return;
    this.notice = this.#run.accepted
      ? "Waiting for the model: it reads the prompt, or works for another panel or a cell."
      : silenceOf(this.#model, this.#gone);
    this.#silence = setTimeout(() => this.#explain(), SILENCE_MS);
    this.#changed();
  }

  #disconnected(): void {
    this.#gone = true;
    if (!this.running) return;
    this.#endHere();
    this.notice = silenceOf(this.#model, true);
  }

  #watchForLoss(wait: number): void {
    clearTimeout(this.#lost);
    this.#lost = setTimeout(() => {
      if (!this.#run || this.#run.complete) return;
      this.#send({ v: 1, rid: this.#run.rid, op: "pull", have: this.#run.have });
      this.#watchForLoss(Math.min(2 * wait, PULL_LIMIT_MS));
    }, wait);
  }

  #send(message: ToKernel): void {
    if (!this.#gone) this.#model.send(message);
  }

  #changed(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      for (const listener of this.#listeners) listener();
    });
  }
}
