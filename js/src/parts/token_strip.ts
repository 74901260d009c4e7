import { type Heard, parted, type TokenItem, TokenList } from "./token_list";

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

interface Item extends TokenItem {
  before: Text;
  after: Text;
  text: string;
  look: string;
}

/** A text as a list of tokens, in plain nodes: it is redrawn at every frame of a stream. */
export function tokenStrip(root: HTMLElement, signal: AbortSignal, heard: Heard): Strip {
  const list = root.appendChild(document.createElement("span"));
  const caret = root.appendChild(document.createElement("span"));
  const ghost = root.appendChild(document.createElement("span"));
  caret.className = "sk-caret";
  ghost.className = "sk-ghost";
  ghost.ariaHidden = "true";
  const tokenList = new TokenList(list, heard, signal);
  const items: Item[] = [];

  const add = (): Item => {
    const { element, word } = tokenList.add();
    const [before, after] = [document.createTextNode(""), document.createTextNode("")];
    element.append(before, word, after);
    list.append(element);
    const item = { element, before, word, after, text: "", look: "" };
    items.push(item);
    return item;
  };
  const write = (item: Item, text: string) => {
    if (item.text === text) return;
    item.text = text;
    [item.before.data, item.word.textContent, item.after.data] = parted(text);
  };
  const paint = (item: Item, classes: string, share: number) => {
    const look = `${classes} ${share.toFixed(2)}`;
    if (item.look === look) return;
    item.look = look;
    item.word.className = classes;
    item.word.style.setProperty("--a", share.toFixed(2));
  };

  return {
    show({ tokens, ghost: tail, fading, running, against, values, scale, picked: chosen }) {
      root.classList.toggle("sk-fading", fading);
      caret.hidden = !running || fading;
      // A list without items would be none.
      if (tokens.length) list.role = "list";
      else list.removeAttribute("role");
      items.splice(tokens.length);
      tokenList.keep(tokens.length);
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
      // Drawn by the style sheet: not part of the text that is read, copied or searched.
      ghost.dataset.text = tail.join("");
    },
  };
}
