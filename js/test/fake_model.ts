import { vi } from "vitest";
import type { PanelModel, PanelState } from "../src/host/model";
import type { FromKernel, ToKernel } from "../src/host/protocol";

type Listener = (...args: unknown[]) => void;

/** A model without a kernel: it keeps traits, notes what is sent, and counts its listeners. */
export function fakeModel(
  state: Partial<PanelState> = {},
  kernel: { status: string } | null = null,
) {
  const traits: PanelState = {
    _protocol: 1,
    _about: "tiny · 1K parameters · cpu",
    _sliders: [
      { label: "happy", detail: "0.resid_post", limit: 5 },
      { label: "calm", detail: "1.resid_post", limit: 5 },
    ],
    _texts: null,
    prompt: "One day",
    strengths: [0, 0],
    seed: 0,
    temperature: 0.8,
    max_new_tokens: 60,
    ...state,
  };
  const listeners = new Map<string, Set<Listener>>();
  const emit = (event: string, ...args: unknown[]) => {
    for (const listener of listeners.get(event) ?? []) listener(...args);
  };
  const sent: ToKernel[] = [];
  const model = {
    get: (key: keyof PanelState) => traits[key],
    set: (key: keyof PanelState, value: never) => {
      traits[key] = value;
      emit(`change:${key}`);
    },
    save_changes: vi.fn(),
    send: (message: ToKernel) => void sent.push(message),
    on: (event: string, listener: Listener) => {
      listeners.set(event, (listeners.get(event) ?? new Set()).add(listener));
    },
    off: (event: string, listener: Listener) => void listeners.get(event)?.delete(listener),
    widget_manager: { kernel },
  };
  return {
    model: model as unknown as PanelModel,
    sent,
    emit,
    receive: (message: FromKernel) => emit("msg:custom", message),
    get listeners() {
      return [...listeners.values()].reduce((sum, set) => sum + set.size, 0);
    },
    /** The newest request to run. */
    get lastRun() {
      const run = sent.findLast((message) => message.op === "run");
      if (run?.op !== "run") throw new Error("no run was asked for");
      return run;
    },
  };
}

export type FakeModel = ReturnType<typeof fakeModel>;
