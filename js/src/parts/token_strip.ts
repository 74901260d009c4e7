import { OWN_KEYS } from "./focus";

export interface StripContent {
  tokens: string[];
  /** The tail of an older text, shown faintly behind the tokens. */
  ghost: string[];
  fading: boolean;
  /** A caret stands where the next token will. */
  running: boolean;
  /** The text to mark differences from, as far as it is known; null where there is none. */
  against: { tokens: string[]; whole: boolean } | null;
  /** What tints the tokens, and the value of the strongest tint. */
  values: (number | null)[];
  scale: number;
  /** The token that was picked. */
  picked: number | null;
}

export interface Strip {
  show(content: StripContent): void;
}

interface Item {
  element: HTMLElement;
  before: Text;
  word: HTMLElement;
  after: Text;
  text: string;
  look: string;
}

/**
 * A text as a list of tokens, in plain nodes: it is redrawn at every frame of a stream.
 *
 * `focused` is told which token the pointer or the keyboard is on; arrow keys walk along the tokens.
 * `picked` is told which one was clicked, or chosen by Enter.
 */
export function tokenStrip(
  root: HTMLElement,
  signal: AbortSignal,
  focused: (index: number | null, element: HTMLElement | null) => void,
  picked: (index: number) => void = () => {},
): Strip {
  const list = root.appendChild(document.createElement("span"));
  const caret = root.appendChild(document.createElement("span"));
  const ghost = root.appendChild(document.createElement("span"));
  caret.className = "sk-caret";
  ghost.className = "sk-ghost";
  ghost.ariaHidden = "true";
  const items: Item[] = [];
  let current = 0;

  const add = (): Item => {
    const element = document.createElement("span");
    element.role = "listitem";
    element.tabIndex = -1;
    for (const [name, value] of Object.entries(OWN_KEYS)) element.setAttribute(name, value);
    const before = element.appendChild(document.createTextNode(""));
    const word = element.appendChild(document.createElement("span"));
    const after = element.appendChild(document.createTextNode(""));
    list.append(element);
    const item = { element, before, word, after, text: "", look: "" };
    items.push(item);
    return item;
  };
  const write = (item: Item, text: string) => {
    if (item.text === text) return;
    item.text = text;
    // Only the word is tinted and underlined, not the space around it.
    const [, before = "", word = "", after = ""] = /^(\s*)([\s\S]*?)(\s*)$/.exec(text)!;
    item.before.data = before;
    item.word.textContent = word;
    item.after.data = after;
  };
  const paint = (item: Item, classes: string, share: number) => {
    const look = `${classes} ${share.toFixed(2)}`;
    if (item.look === look) return;
    item.look = look;
    item.word.className = classes;
    item.word.style.setProperty("--a", share.toFixed(2));
  };
  const walkTo = (index: number) => {
    const item = items[index];
    if (!item) return;
    items[current]?.element.setAttribute("tabindex", "-1");
    current = index;
    item.element.tabIndex = 0;
    item.element.focus();
  };
  const indexOf = (target: EventTarget | null) =>
    items.findIndex(({ element }) => target instanceof Node && element.contains(target));

  list.addEventListener(
    "pointerover",
    (event) => {
      const index = indexOf(event.target);
      focused(index < 0 ? null : index, items[index]?.element ?? null);
    },
    { signal },
  );
  list.addEventListener("pointerleave", () => focused(null, null), { signal });
  list.addEventListener(
    "focusin",
    (event) => {
      const index = indexOf(event.target);
      if (index >= 0) current = index;
      focused(index, items[index]?.element ?? null);
    },
    { signal },
  );
  list.addEventListener(
    "click",
    (event) => {
      const index = indexOf(event.target);
      if (index >= 0) picked(index);
    },
    { signal },
  );
  list.addEventListener("focusout", () => focused(null, null), { signal });
  list.addEventListener(
    "keydown",
    (event) => {
      const to = {
        ArrowRight: current + 1,
        ArrowLeft: current - 1,
        Home: 0,
        End: items.length - 1,
      };
      const index = to[event.key as keyof typeof to];
      if (event.key === "Escape") focused(null, null);
      if (event.key === "Enter") picked(current);
      if (index === undefined) return;
      event.preventDefault();
      walkTo(index);
    },
    { signal },
  );

  return {
    show({ tokens, ghost: tail, fading, running, against, values, scale, picked: chosen }) {
      root.classList.toggle("sk-fading", fading);
      caret.hidden = !running || fading;
      // A list without items would be none.
      if (tokens.length) list.role = "list";
      else list.removeAttribute("role");
      for (const item of items.splice(tokens.length)) item.element.remove();
      current = Math.max(0, Math.min(current, tokens.length - 1));
      tokens.forEach((text, index) => {
        const item = items[index] ?? add();
        write(item, text);
        const other = against?.tokens[index];
        const differs = other === undefined ? against?.whole : other !== text;
        const value = values[index] ?? 0;
        const sign = value > 0 ? "sk-pos" : value < 0 ? "sk-neg" : "";
        const marks = (differs ? " sk-differs" : "") + (index === chosen ? " sk-picked" : "");
        paint(item, sign + marks, Math.abs(value) / (scale || 1));
      });
      const stop = items[current]?.element;
      if (stop && stop.tabIndex !== 0) stop.tabIndex = 0;
      // Drawn by the style sheet: not part of the text that is read, copied or searched.
      ghost.dataset.text = tail.join("");
    },
  };
}
