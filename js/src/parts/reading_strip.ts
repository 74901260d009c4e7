import { OWN_KEYS } from "./focus";
import { visible } from "./token_card";

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

interface Listener {
  /** The token that the pointer or the keyboard is on. */
  pointed(index: number | null, element: HTMLElement | null): void;
  /** The tokens that were chosen, by a click, by selecting text, or by keys. */
  chosen(first: number, last: number): void;
}

/** Shades of a tint: few, so that thousands of tokens share their styles. */
const SHADES = 24;
const LANES = ["a", "b", "c"];
/** Tokens of a passage: a few lines at least, and about a screen at most. */
const SHORTEST = 80;
const LONGEST = 400;

/**
 * A text of thousands of tokens, in plain nodes. Arrow keys walk along it, with Shift they extend
 * what is selected, and Enter selects.
 */
export function readingStrip(
  root: HTMLElement,
  tokens: string[],
  special: Uint8Array,
  signal: AbortSignal,
  { pointed, chosen }: Listener,
): ReadingStrip {
  const places = new Map<Element, number>();
  const words: HTMLElement[] = [];
  const items = tokens.map((text, index) => {
    const item = document.createElement("span");
    item.role = "listitem";
    item.tabIndex = index ? -1 : 0;
    for (const [name, value] of Object.entries(OWN_KEYS)) item.setAttribute(name, value);
    const [, before = "", body = "", after = ""] = /^(\s*)([\s\S]*?)(\s*)$/.exec(text)!;
    const word = document.createElement("span");
    word.textContent = body;
    if (special[index]) word.className = "sk-mark";
    if (body) item.append(before, word, after);
    else {
      // What has no ink of its own could neither be seen nor pointed at.
      word.dataset.mark = text === "" ? "▯" : visible(text);
      item.append(word, text);
    }
    places.set(item, index);
    words.push(word);
    return item;
  });
  root.role = "list";
  const passages = cut(tokens).map(([first, end]) => {
    const element = document.createElement("div");
    element.role = "none";
    element.append(...items.slice(first, end));
    return { element, first, end };
  });
  root.append(...passages.map(({ element }) => element));
  const painted: string[] = [];
  let lanes: Lane[] = [];
  let current = 0;
  let anchor: number | null = null;
  let marked: readonly number[] = [];

  const at = (node: EventTarget | Node | null) => {
    const element = node instanceof Element ? node : (node as Node | null)?.parentElement;
    const item = element?.closest("[role=listitem]");
    return item ? places.get(item) : undefined;
  };
  const walkTo = (index: number) => {
    const item = items[index];
    if (!item) return;
    items[current]!.tabIndex = -1;
    current = index;
    item.tabIndex = 0;
    item.focus();
  };
  const choose = (one: number, other: number) => chosen(Math.min(one, other), Math.max(one, other));
  const onPointed = (event: Event) => {
    const index = at(event.target);
    if (event.type === "focusin" && index !== undefined && index !== current) {
      items[current]!.tabIndex = -1;
      current = index;
      items[index]!.tabIndex = 0;
    }
    pointed(index ?? null, index === undefined ? null : items[index]!);
  };
  const onGone = () => pointed(null, null);
  const onPointerUp = (event: PointerEvent) => {
    const selection = document.getSelection();
    const range = selection?.isCollapsed === false ? selection.getRangeAt(0) : null;
    if (range && root.contains(range.startContainer) && root.contains(range.endContainer)) {
      const [first, last] = [at(range.startContainer), at(range.endContainer)];
      if (first !== undefined && last !== undefined) return choose(first, last);
    }
    const index = at(event.target);
    if (index === undefined) return;
    if (!event.shiftKey || anchor === null) anchor = index;
    choose(anchor, index);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const to = {
      ArrowRight: current + 1,
      ArrowLeft: current - 1,
      Home: 0,
      End: items.length - 1,
    }[event.key];
    if (event.key === "Escape") onGone();
    else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      anchor = current;
      choose(current, current);
    } else if (to !== undefined) {
      event.preventDefault();
      if (!event.shiftKey) anchor = null;
      else anchor ??= current;
      walkTo(to);
      if (anchor !== null) choose(anchor, current);
    }
  };
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
    for (const { element, first, end } of passages) {
      const { top, bottom } = element.getBoundingClientRect();
      if (bottom < frame.top - margin || top > frame.bottom + margin) continue;
      for (let index = first; index < end; index++) {
        const style = look(index);
        if (style === (painted[index] ?? "")) continue;
        painted[index] = style;
        words[index]!.setAttribute("style", style);
      }
    }
  };
  const on = { signal };
  root.closest(".sk-strips")?.addEventListener("scroll", paintSeen, on);
  const resized = new ResizeObserver(paintSeen);
  resized.observe(root);
  signal.addEventListener("abort", () => resized.disconnect());
  root.addEventListener("pointerover", onPointed, on);
  root.addEventListener("pointerleave", onGone, on);
  root.addEventListener("focusin", onPointed, on);
  root.addEventListener("focusout", onGone, on);
  root.addEventListener("pointerup", onPointerUp, on);
  root.addEventListener("keydown", onKeyDown, on);

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
