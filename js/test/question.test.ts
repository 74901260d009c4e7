import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Question } from "../src/host/question";
import { anyModel } from "./any_model";

const begin = () => {
  const fake = anyModel({}, { status: "idle" });
  const controller = new AbortController();
  const question = new Question<{ n: number }, string>(fake.model, "ask", controller.signal);
  const reply = (message: object) =>
    fake.emit("msg:custom", { v: 1, rid: fake.sent.at(-1)!.rid, ...message }, []);
  return { fake, question, reply };
};

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a question", () => {
  it("explains a kernel that says nothing", () => {
    const { question, reply } = begin();
    question.ask({ n: 1 });
    vi.advanceTimersByTime(310);
    expect(question.notice).toContain("has not answered yet");
    reply({ op: "taken" });
    expect(question).toMatchObject({ notice: "", pending: true });
    reply({ op: "answer", result: "yes" });
    expect(question).toMatchObject({ pending: false, answered: { result: "yes" } });
  });

  it("says nothing of a kernel that is at work on it", () => {
    const { question, reply } = begin();
    question.ask({ n: 1 });
    reply({ op: "taken" });
    vi.advanceTimersByTime(60_000);
    expect(question).toMatchObject({ notice: "", pending: true });
  });

  it("ends for the page whose question gave way to another page's", () => {
    const { question, reply } = begin();
    question.ask({ n: 1 });
    reply({ op: "taken" });
    const error = { kind: "Overtaken", message: "A newer question came.", hint: "Ask again." };
    reply({ op: "error", error });
    expect(question).toMatchObject({ pending: false, failure: error });
  });

  it("does not end with an older one of its own", () => {
    const { fake, question } = begin();
    question.ask({ n: 1 });
    const { rid } = fake.sent.at(-1)!;
    question.ask({ n: 2 });
    fake.emit("msg:custom", { v: 1, rid, op: "error", error: {} }, []);
    expect(question).toMatchObject({ pending: true, failure: null });
  });
});
