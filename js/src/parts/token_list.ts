import { OWN_KEYS } from "./focus";

export interface Heard {
  /** The token that the pointer or the keyboard is on. */
  pointed(index: number | null, element: HTMLElement | null): void;
  /** The tokens that were chosen, by a click, by selecting text, or by keys. */
  chosen(first: number, last: number): void;
}

export interface TokenItem {
  element: HTMLElement;
  /** What is tinted and underlined: not the space around it. */
  word: HTMLElement;
}

/** A token's word, and the space before and after it. */
export function parted(text: string): [before: string, word: string, after: string] {
  const [, before = "", word = "", after = ""] = /^(\s*)([\s\S]*?)(\s*)$/.exec(text)!;
  return [before, word, after];
}

/**
 * Tokens as a list with one tab stop, along which pointer and keyboard go.
 *
 * Arrow keys walk in the direction of the text, with Shift they extend what is chosen, Enter chooses.
 */
export class TokenList {
  readonly #items: HTMLElement[] = [];
  readonly #places = new Map<Element, number>();
  #current = 0;
  /** The item that the pointer is on. */
  #under: number | undefined;
  #anchor: number | null = null;
  readonly #root: HTMLElement;
  readonly #heard: Heard;

  constructor(root: HTMLElement, heard: Heard, signal: AbortSignal) {
    this.#root = root;
    this.#heard = heard;
    const on = (names: string, listener: (event: never) => void) => {
      for (const name of names.split(" ")) {
        root.addEventListener(name, listener as (event: Event) => void, { signal });
      }
    };
    // Not `pointerover`: what comes under a pointer that rests, because a card closed, is not pointed at.
    on("pointermove focusin", (event: Event) => this.#point(event));
    on("pointerleave focusout", ({ relatedTarget }: PointerEvent | FocusEvent) => {
      this.#under = undefined;
      // The pointer may go onto the card.
      if (!(relatedTarget as Element | null)?.closest("[role=tooltip]")) heard.pointed(null, null);
    });
    on("pointerup", (event: PointerEvent) => this.#release(event));
    on("keydown", (event: KeyboardEvent) => this.#press(event));
  }

  /** Makes the next item; the caller puts it into the page. */
  add(): TokenItem {
    const element = document.createElement("span");
    element.role = "listitem";
    for (const [name, value] of Object.entries(OWN_KEYS)) element.setAttribute(name, value);
    element.tabIndex = this.#items.length === this.#current ? 0 : -1;
    this.#places.set(element, this.#items.length);
    this.#items.push(element);
    return { element, word: document.createElement("span") };
  }

  /** Takes all but the first `n` items out of the page. */
  keep(n: number): void {
    for (const item of this.#items.splice(n)) {
      this.#places.delete(item);
      item.remove();
    }
    if (this.#current >= n) this.#stopAt(Math.max(0, n - 1));
  }

  #stopAt(index: number): void {
    this.#items[this.#current]?.setAttribute("tabindex", "-1");
    this.#current = index;
    this.#items[index]?.setAttribute("tabindex", "0");
  }

  #at(node: EventTarget | null): number | undefined {
    const element = node instanceof Element ? node : (node as Node | null)?.parentElement;
    const item = element?.closest("[role=listitem]");
    return item ? this.#places.get(item) : undefined;
  }

  #choose(one: number, other: number): void {
    this.#heard.chosen(Math.min(one, other), Math.max(one, other));
  }

  #point({ type, target }: Event): void {
    const index = this.#at(target);
    if (type === "pointermove") {
      if (index === this.#under) return;
      this.#under = index;
    } else if (index !== undefined) this.#stopAt(index);
    this.#heard.pointed(index ?? null, index === undefined ? null : this.#items[index]!);
  }

  #release({ target, shiftKey }: PointerEvent): void {
    const selection = document.getSelection();
    const range = selection?.isCollapsed === false ? selection.getRangeAt(0) : null;
    if (
      range &&
      this.#root.contains(range.startContainer) &&
      this.#root.contains(range.endContainer)
    ) {
      const [first, last] = [this.#at(range.startContainer), this.#at(range.endContainer)];
      if (first !== undefined && last !== undefined) {
        this.#choose(first, last);
        return;
      }
    }
    const index = this.#at(target);
    if (index === undefined) return;
    if (!shiftKey || this.#anchor === null) this.#anchor = index;
    this.#choose(this.#anchor, index);
  }

  #press(event: KeyboardEvent): void {
    const { key, shiftKey } = event;
    const onward = getComputedStyle(this.#root).direction === "rtl" ? -1 : 1;
    const to = {
      ArrowRight: this.#current + onward,
      ArrowLeft: this.#current - onward,
      Home: 0,
      End: this.#items.length - 1,
    }[key];
    if (key === "Enter" || key === " ") {
      event.preventDefault();
      this.#anchor = this.#current;
      this.#choose(this.#current, this.#current);
    } else if (to !== undefined) {
      event.preventDefault();
      if (!shiftKey) this.#anchor = null;
      else this.#anchor ??= this.#current;
      // The item that takes the focus becomes the tab stop.
      this.#items[to]?.focus();
      if (this.#anchor !== null) this.#choose(this.#anchor, this.#current);
    }
  }
}
