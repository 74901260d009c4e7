import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Texts } from "../src/host/model";
import type { End, FromKernel, Parts } from "../src/host/protocol";
import { Session } from "../src/host/session";
import { type FakeModel, fakeModel } from "./fake_model";

type Pieces = { [K in keyof Parts]?: [number, Parts[K]] };

let fake: FakeModel;
let controller: AbortController;
let session: Session;

function begin(...args: Parameters<typeof fakeModel>) {
  fake = fakeModel(...args);
  controller = new AbortController();
  session = new Session(fake.model, controller.signal);
}

const start = (rid = fake.lastRun.rid) =>
  fake.receive({ v: 1, rid, op: "start", settings: fake.lastRun.settings });
const tokens = (parts: Pieces, end: End | null = null, rid = fake.lastRun.rid) =>
  fake.receive({ v: 1, rid, op: "tokens", parts, seconds: 0.5, end } as FromKernel);
const end = (baseline: number, steered: number, more: Partial<End> = {}): End => ({
  counts: { baseline, steered, coefficients: 0 },
  stopped: "length",
  error: null,
  ...more,
});
const steered = () => session.texts.steered.tokens.join("");
const pulls = () => fake.sent.filter((message) => message.op === "pull");
const runs = () => fake.sent.filter((message) => message.op === "run");

beforeEach(() => {
  vi.useFakeTimers();
  begin();
});
afterEach(() => {
  controller.abort();
  vi.useRealTimers();
});

describe("a run", () => {
  it("gathers pieces that come late, twice and with gaps, and asks for what is missing", () => {
    session.start();
    start();
    tokens({ steered: [0, ["a", "b"]] });
    tokens({ steered: [4, ["e"]] }, end(0, 5));
    expect(steered()).toBe("ab");
    expect(session.running).toBe(true);
    vi.advanceTimersByTime(260);
    expect(pulls()).toMatchObject([{ have: { steered: 2 } }]);
    tokens({ steered: [1, ["b", "c", "d", "e"]] }, end(0, 5));
    expect(steered()).toBe("abcde");
    expect(session.running).toBe(false);
  });

  it("is complete even where no push arrives at all", () => {
    session.start();
    vi.advanceTimersByTime(260);
    expect(pulls()).toHaveLength(1);
    tokens({ steered: [0, ["a"]], baseline: [0, ["a"]] }, end(1, 1));
    expect(session.running).toBe(false);
  });

  it("ignores pieces of a run that was given up", () => {
    session.start();
    const old = fake.lastRun.rid;
    session.start();
    start(old);
    tokens({ steered: [0, ["old"]] }, null, old);
    tokens({ steered: [0, ["new"]] });
    expect(steered()).toBe("new");
  });

  it("goes on with one that Python or another page started", () => {
    fake.receive({
      v: 1,
      rid: "python-1",
      op: "start",
      settings: {
        ...fake.model.get("_texts")!,
        prompt: "x",
        strengths: [1, 0],
        seed: 0,
        temperature: 0,
        max_new_tokens: 9,
      },
    });
    tokens({ steered: [0, ["hi"]] }, null, "python-1");
    expect(steered()).toBe("hi");
  });

  it("refuses an empty prompt with a way back", () => {
    fake.model.set("prompt", "");
    session.start();
    expect(runs()).toHaveLength(0);
    expect(session.failure?.hint).toContain("press Run");
  });
});

describe("what is on the screen", () => {
  const whole = (letters: string, rid?: string) =>
    tokens(
      { baseline: [0, ["A", "B", "C"]], steered: [0, [...letters]] },
      end(3, letters.length),
      rid,
    );

  it("is never empty: the old text fades, and is then overtaken token by token", () => {
    session.start();
    whole("abcd");
    session.start();
    expect(session.texts.steered).toMatchObject({ tokens: [..."abcd"], fading: true });
    tokens({ steered: [0, ["x", "y"]] });
    expect(session.texts.steered).toMatchObject({
      tokens: ["x", "y"],
      ghost: ["c", "d"],
      fading: false,
    });
    tokens({ steered: [2, ["z"]] }, end(3, 3));
    tokens({ baseline: [0, ["A", "B", "C"]] });
    expect(session.texts.steered).toMatchObject({ tokens: [..."xyz"], ghost: [] });
  });

  it("keeps the baseline where it is while strengths change, and lets it go with the seed", () => {
    session.start();
    whole("abc");
    fake.model.set("strengths", [1, 0]);
    session.start();
    tokens({ steered: [0, ["x"]], baseline: [0, ["A"]] });
    expect(session.texts.baseline).toMatchObject({ tokens: ["A", "B", "C"], fading: false });
    fake.model.set("seed", 1);
    session.start();
    expect(session.texts.baseline.fading).toBe(true);
  });

  it("keeps the text when the model fails, and says what happened", () => {
    session.start();
    tokens({ steered: [0, ["a"]] });
    const error = {
      kind: "RuntimeError",
      message: "The model stopped.",
      hint: "Run starts again.",
    };
    tokens({}, end(0, 1, { error, stopped: "cancelled" }));
    expect(steered()).toBe("a");
    expect(session.failure).toEqual(error);
    session.start();
    expect(session.failure).toBeNull();
  });

  it("is what the traits hold where there is no kernel", () => {
    const settings = { prompt: "p", strengths: [1, 0], seed: 0, temperature: 0, max_new_tokens: 3 };
    const _texts: Texts = {
      settings,
      baseline: ["A"],
      steered: ["b"],
      coefficients: [[-2, 1]],
      seconds: 0.5,
      stopped: "end",
    };
    begin({ _texts });
    expect(session.texts.baseline.tokens).toEqual(["A"]);
    expect(steered()).toBe("b");
    expect(session.rate).toBe(2);
    expect(session.scales).toEqual([2, 1]);
  });
});

describe("a slider on the move", () => {
  it("starts at once, then gives each text a glance, and ends at the newest position", () => {
    for (let strength = 1; strength <= 5; strength++) {
      fake.model.set("strengths", [strength, 0]);
      session.move();
    }
    expect(runs()).toHaveLength(1);
    tokens({ steered: [0, ["a"]] });
    vi.advanceTimersByTime(110);
    expect(runs()).toHaveLength(2);
    expect(fake.lastRun.settings.strengths).toEqual([5, 0]);
    vi.advanceTimersByTime(2000);
    expect(runs()).toHaveLength(2);
  });

  it("does not wait for ever for a text that does not begin", () => {
    session.move();
    session.move();
    vi.advanceTimersByTime(410);
    expect(runs()).toHaveLength(2);
  });

  it("does not start again after Stop", () => {
    session.move();
    session.move();
    session.stop();
    vi.advanceTimersByTime(2000);
    expect(runs()).toHaveLength(1);
  });
});

describe("silence", () => {
  it("is explained after 300 ms: a busy kernel", () => {
    begin({}, { status: "busy" });
    session.start();
    vi.advanceTimersByTime(290);
    expect(session.notice).toBe("");
    vi.advanceTimersByTime(20);
    expect(session.notice).toContain("a cell is running");
    start();
    tokens({ steered: [0, ["a"]] });
    expect(session.notice).toBe("");
  });

  it("is explained after 300 ms: a model at work", () => {
    session.start();
    start();
    vi.advanceTimersByTime(310);
    expect(session.notice).toContain("Waiting for the model");
  });

  it("ends at once with Stop when the kernel has not taken the run up", () => {
    session.start();
    session.stop();
    expect(session.running).toBe(false);
  });

  it("after a restart says that the panel is gone, and sends nothing more", () => {
    session.start();
    fake.emit("comm_live_update");
    expect(session.running).toBe(false);
    expect(session.notice).toContain("Run the cell again");
    const n = fake.sent.length;
    session.start();
    expect(fake.sent).toHaveLength(n);
  });
});

it("asks to join a text that is running when the page opens", () => {
  expect(fake.sent).toEqual([{ v: 1, op: "join" }]);
});

it("leaves no listener and no timer behind", () => {
  session.start();
  session.move();
  controller.abort();
  expect(fake.listeners).toBe(0);
  vi.advanceTimersByTime(5000);
  expect(pulls()).toHaveLength(0);
  expect(vi.getTimerCount()).toBe(0);
});
