import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Texts } from "../src/host/panel_state";
import type { End, FromKernel, Parts } from "../src/host/protocol";
import { Session } from "../src/host/session";
import { DOCUMENT, type FakeModel, fakeModel, row } from "./fake_model";

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
  fake.receive({ v: 1, rid, op: "start", document: fake.lastRun.document, anew: true });
const tokens = (parts: Pieces, end: End | null = null, rid = fake.lastRun.rid) =>
  fake.receive({ v: 1, rid, op: "tokens", parts: [parts], seconds: 0.5, end } as FromKernel);
const end = (baseline: number, steered: number, more: Partial<End> = {}): End => ({
  counts: [{ baseline, steered, coefficients: 0 }],
  stopped: ["length"],
  error: null,
  ...more,
});
const steered = () => session.pairs[0]!.steered.tokens.join("");
const set = (strength: number, seeds = [0]) =>
  fake.model.set("_document", {
    ...DOCUMENT,
    edits: [row(0, strength), row(1)],
    settings: { ...DOCUMENT.settings, seeds },
  });
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
    expect(pulls()).toMatchObject([{ have: [{ steered: 2 }] }]);
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
    const theirs = { ...DOCUMENT, prompt: { text: "x" } };
    const message = { v: 1, op: "start", document: theirs } as const;
    fake.receive({ ...message, rid: "python-1", anew: false });
    expect(fake.model.get("_document")).toEqual(DOCUMENT); // it may have changed since
    fake.receive({ ...message, rid: "other-page-1", anew: true });
    expect(fake.model.get("_document")).toEqual(theirs);
    tokens({ steered: [0, ["hi"]] }, null, "other-page-1");
    expect(steered()).toBe("hi");
  });

  it("refuses an empty prompt with a way back", () => {
    fake.model.set("_document", { ...DOCUMENT, prompt: { text: "" } });
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
    expect(session.pairs[0]!.steered).toMatchObject({ tokens: [..."abcd"], fading: true });
    tokens({ steered: [0, ["x", "y"]] });
    expect(session.pairs[0]!.steered).toMatchObject({
      tokens: ["x", "y"],
      ghost: ["c", "d"],
      fading: false,
    });
    tokens({ steered: [2, ["z"]] }, end(3, 3));
    tokens({ baseline: [0, ["A", "B", "C"]] });
    expect(session.pairs[0]!.steered).toMatchObject({ tokens: [..."xyz"], ghost: [] });
  });

  it("keeps the baseline where it is while strengths change, and lets it go with the seed", () => {
    session.start();
    whole("abc");
    set(1);
    session.start();
    tokens({ steered: [0, ["x"]], baseline: [0, ["A"]] });
    expect(session.pairs[0]!.baseline).toMatchObject({ tokens: ["A", "B", "C"], fading: false });
    set(1, [1]);
    session.start();
    expect(session.pairs[0]!.baseline.fading).toBe(true);
  });

  it("writes the baseline too, until that has ended or is known", () => {
    const both = () => session.pairs[0]!.both;
    session.start();
    expect(both()).toBe(true);
    tokens({ baseline: [0, ["A"]], steered: [0, ["a"]] });
    expect(both()).toBe(true);
    tokens({ steered: [1, ["b"]] });
    expect(both()).toBe(false);
    session.stop();
    tokens({}, end(1, 2, { stopped: ["cancelled"] }));

    set(1, [7]);
    session.start();
    tokens({ baseline: [0, ["A", "B"]], steered: [0, ["a"]] });
    tokens({}, end(2, 1, { stopped: ["cancelled"] }));
    expect(both()).toBe(false);
    session.start();
    expect(both()).toBe(true); // it is known in part
    tokens({ baseline: [0, ["A", "B", "C"]], steered: [0, ["a"]] }, end(3, 1));
    session.start();
    expect(both()).toBe(false);
    tokens({ baseline: [0, ["A", "B", "C"]], steered: [0, ["a", "b"]] });
    expect(session.pairs[0]).toMatchObject({ writing: true, both: false });
  });

  it("has a pair of texts for each seed", () => {
    set(1, [0, 7]);
    session.start();
    const { rid } = fake.lastRun;
    const parts = [{ steered: [0, ["a"]] }, { baseline: [0, ["c"]], steered: [0, ["b"]] }];
    fake.receive({ v: 1, rid, op: "tokens", parts, seconds: 1, end: null } as FromKernel);
    expect(session.pairs.map((pair) => [pair.seed, pair.steered.tokens])).toEqual([
      [0, ["a"]],
      [7, ["b"]],
    ]);
    expect(session.running).toBe(true);
  });

  it("keeps the text when the model fails, and says what happened", () => {
    session.start();
    tokens({ steered: [0, ["a"]] });
    const error = {
      kind: "RuntimeError",
      message: "The model stopped.",
      hint: "Run starts again.",
    };
    tokens({}, end(0, 1, { error, stopped: ["cancelled"] }));
    expect(steered()).toBe("a");
    expect(session.failure).toEqual(error);
    session.start();
    expect(session.failure).toBeNull();
  });

  it("is what the traits hold where there is no kernel", () => {
    const _texts: Texts = {
      rid: "old",
      document: DOCUMENT,
      samples: [
        {
          baseline: ["A"],
          steered: ["b"],
          coefficients: [{ e0: -2, e1: 1 }],
          stopped: "end",
          measures: null,
        },
      ],
      seconds: 0.5,
      described: [],
    };
    begin({ _texts });
    expect(session.pairs[0]!.baseline.tokens).toEqual(["A"]);
    expect(steered()).toBe("b");
    expect(session.rate).toBe(2);
    expect(session.scales).toEqual({ e0: 2, e1: 1 });
  });
});

describe("a slider on the move", () => {
  it("starts at once, then gives each text a glance, and ends at the newest position", () => {
    for (let strength = 1; strength <= 5; strength++) {
      set(strength);
      session.move();
    }
    expect(runs()).toHaveLength(1);
    tokens({ steered: [0, ["a"]] });
    vi.advanceTimersByTime(110);
    expect(runs()).toHaveLength(2);
    expect(fake.lastRun.document.edits[0]?.edit.strength).toBe(5);
    vi.advanceTimersByTime(2000);
    expect(runs()).toHaveLength(2);
  });

  it("does not wait for ever for a text that does not begin", () => {
    session.move();
    session.move();
    vi.advanceTimersByTime(410);
    expect(runs()).toHaveLength(2);
  });

  it("changes a running text where that is asked for", () => {
    session.start();
    tokens({ steered: [0, ["a"]] });
    session.steerMidway(true);
    set(3);
    session.move();
    expect(runs()).toHaveLength(1);
    const { rid } = fake.lastRun;
    expect(fake.sent.at(-1)).toMatchObject({ op: "change", rid });
    tokens({ steered: [1, ["b"]] }, end(0, 2));
    session.move();
    expect(runs()).toHaveLength(2);
  });

  it("starts again midway for all that is no edit", () => {
    session.steerMidway(true);
    session.start();
    for (const [n, changes] of [
      { control: true },
      { settings: { ...DOCUMENT.settings, top_p: 0.5 } },
      { prompt: { text: "One night" } },
    ].entries()) {
      tokens({ steered: [0, ["a"]] });
      fake.model.set("_document", { ...DOCUMENT, ...changes, edits: [row(0, 3)] });
      session.move();
      vi.advanceTimersByTime(110);
      expect(runs()).toHaveLength(n + 2);
      expect(fake.lastRun.document).toMatchObject(changes);
    }
    expect(fake.sent.some(({ op }) => op === "change")).toBe(false);
  });

  it("stays where the hand has it when its change comes after the last token", () => {
    session.start();
    tokens({ steered: [0, ["a"]] });
    session.steerMidway(true);
    set(2);
    session.move();
    const late = fake.model.get("_document");
    set(3);
    const message = { v: 1, op: "start", document: late, anew: true } as const;
    fake.receive({ ...message, rid: "python-1" });
    expect(fake.strengths).toEqual([3, 0]);
    expect(fake.sent.at(-1)).toMatchObject({ op: "change", rid: "python-1" });
    expect(fake.sent.filter(({ op }) => op === "change")).toHaveLength(2);
    // Another page's run is another matter: its sliders show in it.
    fake.receive({ ...message, rid: "other-page-1" });
    expect(fake.strengths).toEqual([2, 0]);
    expect(fake.sent.filter(({ op }) => op === "change")).toHaveLength(2);
  });

  it("stays there too when a text of its own is on its way by then", () => {
    session.start();
    start();
    tokens({ steered: [0, ["a"]] });
    session.steerMidway(true);
    set(2);
    session.move();
    const late = fake.model.get("_document");
    tokens({}, end(0, 1));
    set(3);
    session.move();
    expect(runs()).toHaveLength(2);
    fake.receive({ v: 1, rid: "python-1", op: "start", document: late, anew: true });
    expect(fake.strengths).toEqual([3, 0]);
    start();
    tokens({ steered: [0, ["b"]] });
    expect(steered()).toBe("b");
  });

  it("takes what Python starts by itself, midway too", () => {
    session.steerMidway(true);
    session.start();
    tokens({ steered: [0, ["a"]] });
    const document = { ...DOCUMENT, edits: [row(0, 2), row(1)] };
    fake.receive({ v: 1, rid: "python-1", op: "start", document, anew: true });
    expect(fake.strengths).toEqual([2, 0]);
  });

  it("sends a change once, even where a new text was about to start", () => {
    session.start();
    tokens({ steered: [0, ["a"]] });
    set(2);
    session.move();
    session.steerMidway(true);
    session.move();
    tokens({ steered: [1, ["b"]] });
    tokens({ steered: [2, ["c"]] });
    vi.advanceTimersByTime(2000);
    expect(fake.sent.filter(({ op }) => op === "change")).toHaveLength(1);
    expect(runs()).toHaveLength(1);
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
