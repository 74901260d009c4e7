import { visible } from "./token_card";
import { type Heard, parted, TokenList } from "./token_list";

/** One feature's activations, as shares of the largest: -1 to 1 a token. */
export type Lane = Float32Array;

export interface ReadingStrip {
  /** Tints by one lane; several are bars beneath the words, one below the other. */
  paint(lanes: Lane[]): void;
  /** A word beneath each token; null takes them away. */
  gloss(words: string[] | null): void;
  /** Underlines tokens, those with 1. */
  underline(which: Uint8Array): void;
  /** Marks the tokens from `first` to `last` as selected. */
  mark(span: readonly number[]): void;
}

const RIGHT_TO_LEFT =
  /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;
/** Shades of a tint: few, so that thousands of tokens share their styles. */
const SHADES = 24;
const LANES = ["a", "b", "c"];
/** Tokens of a passage: a few lines at least, and about a screen at most. */
const SHORTEST = 80;
const LONGEST = 400;

/** A text of thousands of tokens, in plain nodes. */
export function readingStrip(
  root: HTMLElement,
  tokens: string[],
  special: Uint8Array,
  signal: AbortSignal,
  heard: Heard,
): ReadingStrip {
  const list = new TokenList(root, heard, signal);
  const made = tokens.map((text, index) => {
    const { element, word } = list.add();
    const [before, body, after] = parted(text);
    word.textContent = body;
    if (special[index]) word.className = "sk-mark";
    if (body) element.append(before, word, after);
    else {
      // What has no ink of its own could neither be seen nor pointed at.
      word.dataset.mark = text === "" ? "▯" : visible(text);
      element.append(word, text);
    }
    return { element, word };
  });
  const items = made.map(({ element }) => element);
  const words = made.map(({ word }) => word);
  root.role = "list";
  root.ariaLabel = "Tokens";
  root.dir = directionOf(tokens.filter((_, index) => !special[index]));
  const passages = cut(tokens).map(([first, end]) => {
    const element = document.createElement("div");
    element.role = "none";
    element.append(...items.slice(first, end));
    return { element, first, end };
  });
  root.append(...passages.map(({ element }) => element));
  const painted: string[] = [];
  let lanes: Lane[] = [];
  let marked: readonly number[] = [];

  const look = (index: number) => {
    let style = "";
    if (special[index]) return style;
    lanes.forEach((lane, k) => {
      const share = Math.max(-1, Math.min(1, lane[index]!));
      const shade = Math.round(Math.abs(share) * SHADES);
      if (!(shade > 0)) return; // nor where it is NaN
      style += `--${LANES[k]}:${(shade / SHADES).toFixed(2)};`;
      if (share < 0) style += `--${LANES[k]}-side:-1;`;
    });
    return style;
  };
  /** Paints what is in sight, and a little more: thousands of tokens at once would take several frames. */
  const paintSeen = () => {
    const frame = (root.closest(".sk-strips") ?? root).getBoundingClientRect();
    const margin = frame.height / 2;
    // All are measured before one is written: to measure after that would lay the text out again.
    const seen = passages.filter(({ element }) => {
      const { top, bottom } = element.getBoundingClientRect();
      return bottom >= frame.top - margin && top <= frame.bottom + margin;
    });
    for (const { first, end } of seen) {
      for (let index = first; index < end; index++) {
        const style = look(index);
        if (style === (painted[index] ?? "")) continue;
        painted[index] = style;
        words[index]!.setAttribute("style", style);
      }
    }
  };
  root.closest(".sk-strips")?.addEventListener("scroll", paintSeen, { signal });
  const resized = new ResizeObserver(paintSeen);
  resized.observe(root);
  signal.addEventListener("abort", () => resized.disconnect());

  return {
    paint(given) {
      lanes = given;
      root.classList.toggle("sk-laned", lanes.length > 1);
      paintSeen();
    },
    gloss(texts) {
      root.classList.toggle("sk-glossed", texts !== null);
      items.forEach((item, index) => {
        if (texts) item.dataset.gloss = texts[index] ?? "";
        else delete item.dataset.gloss;
      });
    },
    underline(which) {
      items.forEach((item, index) => {
        item.classList.toggle("sk-differs", which[index] === 1);
      });
    },
    mark(span) {
      const within = (index: number, of: readonly number[]) =>
        of.length === 2 && index >= of[0]! && index <= of[1]!;
      items.forEach((item, index) => {
        const now = within(index, span);
        if (now === within(index, marked)) return;
        if (now) item.setAttribute("aria-current", "true");
        else item.removeAttribute("aria-current");
      });
      marked = [...span];
    },
  };
}

/** The direction of the first letter, special tokens left out: they are Latin in every language. */
function directionOf(tokens: string[]): "ltr" | "rtl" {
  const letter = /\p{L}/u.exec(tokens.join(""))?.[0] ?? "";
  return RIGHT_TO_LEFT.test(letter) ? "rtl" : "ltr";
}

/**
 * Passages of a text, from a first token to the one before an end: out of sight, the browser skips them whole.
 *
 * A passage ends with a line where it can, so that it looks like the text that it is.
 */
function cut(tokens: string[]): [first: number, end: number][] {
  const passages: [number, number][] = [];
  let first = 0;
  tokens.forEach((token, index) => {
    const n = index + 1 - first;
    const last = index + 1 === tokens.length;
    if (last || n >= LONGEST || (n >= SHORTEST && token.endsWith("\n"))) {
      passages.push([first, index + 1]);
      first = index + 1;
    }
  });
  return passages;
}
