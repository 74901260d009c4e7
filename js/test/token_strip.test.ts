import { beforeEach, describe, expect, it, vi } from "vitest";
import { visible } from "../src/parts/token_card";
import { type StripContent, tokenStrip } from "../src/parts/token_strip";

const CONTENT: StripContent = {
  tokens: [],
  ghost: [],
  fading: false,
  running: false,
  against: null,
  values: [],
  scale: 2,
  picked: null,
};
const ODD = ["<s>", " a", "b ", "\n", "<img src=x>", " 日本", "\ud83d", "", "  ", "&amp;"];

let root: HTMLElement;
let strip: ReturnType<typeof tokenStrip>;
const pointed = vi.fn();
const words = () => [...root.querySelectorAll("[role=listitem] > span")] as HTMLElement[];

beforeEach(() => {
  root = document.createElement("div");
  document.body.replaceChildren(root);
  pointed.mockClear();
  strip = tokenStrip(root, new AbortController().signal, { pointed, chosen: vi.fn() });
});

describe("a strip", () => {
  it("shows tokens as the text that they are, whatever they look like", () => {
    strip.show({ ...CONTENT, tokens: ODD });
    expect(root.textContent).toBe(ODD.join(""));
    expect(root.querySelector("img")).toBeNull();
    strip.show({ ...CONTENT, tokens: ["c"] });
    expect(root.textContent).toBe("c");
  });

  it("is a list of items, or nothing", () => {
    expect(root.querySelector("[role=list]")).toBeNull();
    strip.show({ ...CONTENT, tokens: ["a", "b"] });
    expect(root.querySelectorAll("[role=list] > [role=listitem]")).toHaveLength(2);
  });

  it("tints by the size of a coefficient, and by its sign", () => {
    strip.show({
      ...CONTENT,
      tokens: ["a", "b", "c", "d"],
      values: [2, -1, 0, null],
    });
    expect(words().map((word) => word.className)).toEqual(["sk-pos", "sk-neg", "", ""]);
    expect(words().map((word) => word.style.getPropertyValue("--a"))).toEqual([
      "1.00",
      "0.50",
      "0.00",
      "0.00",
    ]);
  });

  it("marks what differs from the other text, as far as that is known", () => {
    const marks = (whole: boolean) => {
      strip.show({ ...CONTENT, tokens: ["a", "x", "c"], against: { tokens: ["a", "b"], whole } });
      return words().map((word) => word.className.includes("sk-differs"));
    };
    expect(marks(false)).toEqual([false, true, false]);
    expect(marks(true)).toEqual([false, true, true]);
  });

  it("keeps the ghost of an older text out of the text", () => {
    strip.show({ ...CONTENT, tokens: ["a"], ghost: [" old", " tail"] });
    expect(root.textContent).toBe("a");
    expect(root.querySelector<HTMLElement>(".sk-ghost")?.dataset.text).toBe(" old tail");
  });

  it("is one tab stop, along which arrow keys walk", () => {
    strip.show({ ...CONTENT, tokens: ["a", "b", "c"] });
    const items = [...root.querySelectorAll<HTMLElement>("[role=listitem]")];
    const press = (key: string) =>
      document.activeElement!.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    items[0]!.focus();
    press("ArrowRight");
    expect(document.activeElement).toBe(items[1]);
    press("End");
    expect(document.activeElement).toBe(items[2]);
    expect(pointed).toHaveBeenLastCalledWith(2, items[2]);
    strip.show({ ...CONTENT, tokens: ["a", "b", "c", "d"] });
    expect(items.map((item) => item.tabIndex)).toEqual([-1, -1, 0]);
    strip.show({ ...CONTENT, tokens: ["a"] });
    expect(items[0]!.tabIndex).toBe(0);
    for (const item of items) expect(item.dataset.lmSuppressShortcuts).toBe("true");
  });
});

it("white space is made visible", () => {
  expect([" a", "b ", "\n", "\t", ""].map(visible)).toEqual(["·a", "b·", "↵", "⇥", "end of text"]);
});
