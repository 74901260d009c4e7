import { describe, expect, it } from "vitest";
import { History } from "../src/host/history";
import { DOCUMENT, fakeModel } from "./fake_model";

const begin = () => {
  const fake = fakeModel();
  const history = new History(fake.model, new AbortController().signal, () => {});
  const write = (text: string, n: number) => {
    for (let k = 0; k < n; k++) history.note({ ...DOCUMENT, prompt: { text } }, `${k}`);
  };
  return { fake, history, write };
};

describe("what Undo goes back to", () => {
  it("is no more than fifty steps", () => {
    const { fake, history, write } = begin();
    write("Once", 60);
    expect(history.past).toHaveLength(50);
    expect(fake.sent.at(-1)).toEqual({ v: 1, op: "remember", past: history.past, future: [] });
  });

  it("is fewer while the prompt is long: all of it has to fit in one message", () => {
    const { fake, history, write } = begin();
    write("x".repeat(200_000), 30);
    expect(JSON.stringify(fake.sent.at(-1)).length).toBeLessThan(3.01e6);
    expect(history.past).toHaveLength(14);
    const now = { ...DOCUMENT, prompt: { text: "x".repeat(1_000_000) } };
    expect(history.undo(now)).toBeDefined();
    expect(JSON.stringify(fake.sent.at(-1)).length).toBeLessThan(3.01e6);
    expect(history.past).toHaveLength(9);
    write("x".repeat(4_000_000), 2);
    expect(history.past).toHaveLength(1);
  });
});
