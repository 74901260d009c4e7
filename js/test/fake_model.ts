import type { PanelState } from "../src/host/model";
import type { FromKernel, ToKernel } from "../src/host/protocol";
import { anyModel } from "./any_model";

/** The model of a panel without a kernel. */
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
  const fake = anyModel<PanelState, ToKernel>(traits, kernel);
  const { model, sent, emit } = fake;
  return {
    model,
    sent,
    emit,
    receive: (message: FromKernel) => emit("msg:custom", message),
    get listeners() {
      return fake.listeners;
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
