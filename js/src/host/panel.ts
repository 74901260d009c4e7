import {
  type Edit,
  type EditRow,
  keyOf,
  type PanelDocument,
  type Target,
  type TargetRef,
  withEdit,
} from "./document";
import { History } from "./history";
import { watch } from "./model";
import type { PanelModel, Preset } from "./panel_state";
import { Question } from "./question";
import { Session } from "./session";
import { N_HUES } from "./theme";

/** What all views of one panel share: its document and the ways to change it, its runs, its questions. */
export class Panel {
  readonly session: Session;
  readonly search: Question<{ words: string }, Target[]>;
  readonly script: Question<object, string>;
  readonly recipe: Question<object, string>;
  readonly load: Question<{ text: string }, string>;
  readonly #history: History;
  /** Targets that a search has found: Python shows them once the document speaks of them. */
  readonly #found = new Map<string, Target>();
  #known: PanelDocument;
  readonly #listeners = new Set<() => void>();

  constructor(
    readonly model: PanelModel,
    signal: AbortSignal,
  ) {
    this.session = new Session(model, signal);
    this.#history = new History(model, signal, this.#tell);
    this.#known = model.get("_document");
    this.search = new Question(model, "search", signal);
    this.script = new Question(model, "script", signal);
    this.recipe = new Question(model, "recipe", signal);
    this.load = new Question(model, "load", signal);
    watch(model, "_document", signal, (document) => {
      if (document !== this.#known) this.#history.note(this.#known, "python");
      this.#known = document;
      // That was of another document.
      this.script.answered = null;
      this.#tell();
    });
    for (const question of [this.search, this.script, this.recipe, this.load]) {
      signal.addEventListener("abort", question.subscribe(this.#tell));
    }
    signal.addEventListener("abort", this.session.subscribe(this.#tell));
    signal.addEventListener("abort", () => this.#listeners.clear());
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  get document(): PanelDocument {
    return this.model.get("_document");
  }

  /** How a target is shown; a bare name until Python has said so. */
  target(ref: TargetRef): Target {
    const key = keyOf(ref);
    const label = "label" in ref ? ref.label : key;
    return (
      this.model.get("_targets")[key] ??
      this.#found.get(key) ?? {
        target: ref,
        label,
        detail: "",
        score: null,
        unit: "raw",
        units: { raw: { limit: 5, times: 1 } },
      }
    );
  }

  /** A name for each row that no other has: a second "joy" is "joy (2)". */
  names(rows: EditRow[]): string[] {
    const labels = rows.map(({ edit }) => this.target(edit.target).label);
    return labels.map((label, index) => {
      const n = labels.slice(0, index).filter((other) => other === label).length;
      return n === 0 ? label : `${label} (${n + 1})`;
    });
  }

  /**
   * Changes the document.
   *
   * Changes of one kind that follow on each other quickly are one step of the history.
   */
  change(changes: Partial<PanelDocument>, kind: string): void {
    this.#history.note(this.document, kind);
    // What was kept of a text is of another one now.
    const before = "prompt" in changes || "settings" in changes ? { before: [] } : {};
    const document = { ...this.document, ...before, ...changes };
    // A prompt that is being typed waits for Run.
    const typed = JSON.stringify(document.prompt) !== JSON.stringify(this.document.prompt);
    this.#write(document, !typed && this.session.shown);
  }

  /** Changes one edit, and starts a text with it. */
  edit(id: string, changes: Partial<Edit>): void {
    const edits = this.document.edits.map((row) =>
      row.id === id ? { ...row, edit: { ...row.edit, ...changes } } : row,
    );
    this.#history.note(this.document, `${id} ${Object.keys(changes)}`);
    this.#write({ ...this.document, edits }, true);
  }

  add(target: Target): void {
    this.#found.set(keyOf(target.target), target);
    const edit: Edit = { target: target.target, operator: "add", strength: 0, unit: target.unit };
    this.change({ edits: withEdit(this.document.edits, edit, N_HUES) }, "add");
  }

  remove(id: string): void {
    this.change({ edits: this.document.edits.filter((row) => row.id !== id) }, "remove");
  }

  /** Keeps the first tokens of the last text as they are: edits act from the next one on. */
  keep(n: number): void {
    const texts = this.model.get("_texts");
    if (!texts) return;
    const { before, edits } = texts.document;
    const stages = before.filter(({ until }) => until < n);
    if (n > 0) stages.push({ until: n, edits });
    this.change({ before: stages }, "keep");
  }

  keepPreset(name: string): void {
    const others = this.model.get("_presets").filter((preset) => preset.name !== name);
    const { edits, preserve_norm } = this.document;
    this.#writePresets([...others, { name, edits, preserve_norm }]);
  }

  dropPreset(name: string): void {
    this.#writePresets(this.model.get("_presets").filter((preset) => preset.name !== name));
  }

  reset(): void {
    this.change(this.model.get("_start"), "reset");
  }

  get canUndo(): boolean {
    return this.#history.past.length > 0;
  }

  get canRedo(): boolean {
    return this.#history.future.length > 0;
  }

  undo(): void {
    this.#step(this.#history.undo(this.document));
  }

  redo(): void {
    this.#step(this.#history.redo(this.document));
  }

  #step(document: PanelDocument | undefined): void {
    if (document) this.#write(document, this.session.shown);
  }

  /** Writes the document; `runs` if texts follow a change that acts on them. */
  #write(document: PanelDocument, runs: boolean): void {
    const before = this.document;
    this.#known = document;
    this.model.set("_document", document);
    // The request first: it brings the document along.
    if (runs && acts(before) !== acts(document)) this.session.move();
    this.model.save_changes();
  }

  #writePresets(presets: Preset[]): void {
    this.model.set("_presets", presets);
    this.model.save_changes();
    this.#tell();
  }

  readonly #tell = (): void => {
    for (const listener of this.#listeners) listener();
  };
}

/** What of a document shows in the texts: edits at rest, names and colours do not. */
function acts({ edits, ...rest }: PanelDocument): string {
  const acting = edits
    .map(({ edit }) => edit)
    .filter(({ enabled, operator, strength }) => {
      const rests = (operator === "add" && !strength) || (operator === "scale" && strength === 1);
      return enabled !== false && !rests;
    });
  return JSON.stringify([acting, rest]);
}
