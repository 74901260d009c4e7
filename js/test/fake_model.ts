import type { EditRow, PanelDocument, Target } from "../src/host/document";
import type { PanelState } from "../src/host/panel_state";
import { type FromKernel, PROTOCOL, type ToKernel } from "../src/host/protocol";
import { anyModel } from "./any_model";

export const LABELS = ["happy", "calm"];

export const row = (vector: number, strength = 0): EditRow => ({
  id: `e${vector}`,
  hue: vector,
  edit: { target: { vector }, operator: "add", strength, unit: "raw" },
});

export const target = (vector: number): Target => ({
  target: { vector },
  label: LABELS[vector] ?? `vector ${vector}`,
  detail: `${vector}.resid_post`,
  score: null,
  unit: "raw",
  units: { raw: { limit: 5, times: 1 }, residual: { limit: 10, times: 2 } },
});

export const DOCUMENT: PanelDocument = {
  prompt: { text: "One day" },
  edits: [row(0), row(1)],
  settings: { max_new_tokens: 60, temperature: 0.8, top_p: 1, seeds: [0] },
  preserve_norm: false,
  control: false,
  before: [],
};

/** The model of a panel without a kernel. */
export function fakeModel(
  state: Partial<PanelState> = {},
  kernel: { status: string } | null = null,
) {
  const traits: PanelState = {
    _protocol: PROTOCOL,
    _about: "tiny · 1K parameters · cpu",
    _chat: true,
    _document: DOCUMENT,
    _start: DOCUMENT,
    _presets: [],
    _targets: { v0: target(0), v1: target(1) },
    _texts: null,
    ...state,
  };
  const fake = anyModel<PanelState, ToKernel>(traits, kernel);
  const { model, sent, emit } = fake;
  return {
    model,
    sent,
    emit,
    receive: (message: FromKernel | { op: "answer"; rid: string; result: unknown }) =>
      emit("msg:custom", { v: 1, ...message }),
    get listeners() {
      return fake.listeners;
    },
    /** The newest request to run. */
    get lastRun() {
      const run = sent.findLast((message) => message.op === "run");
      if (run?.op !== "run") throw new Error("no run was asked for");
      return run;
    },
    /** The strengths as they stand. */
    get strengths() {
      return model.get("_document").edits.map(({ edit }) => edit.strength ?? 0);
    },
  };
}

export type FakeModel = ReturnType<typeof fakeModel>;
