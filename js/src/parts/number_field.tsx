import { useLayoutEffect, useState } from "preact/hooks";
import { OWN_KEYS } from "./focus";
import { format, moved, parse } from "./strength";

interface Props {
  /** Its accessible name. */
  name: string;
  title: string;
  strength: number;
  /** How far steps are fine: the slider's. */
  limit: number;
  onMove: (strength: number) => void;
}

/** A strength as text. Takes typing, arrow and page keys, and `+` and `-` behind a number as steps. */
export function NumberField({ name, title, strength, limit, onMove }: Props) {
  const [draft, setDraft] = useState<string | null>(null);
  const invalid = draft !== null && parse(draft) === null;

  // A strength that changes elsewhere, on the slider say, shows at once.
  useLayoutEffect(() => {
    setDraft((typed) => (typed !== null && parse(typed) === strength ? typed : null));
  }, [strength]);

  const type = (text: string) => {
    setDraft(text);
    const typed = parse(text);
    if (typed !== null && typed !== strength) onMove(typed);
  };
  const step = (event: KeyboardEvent, key: string) => {
    const next = moved(strength, key, limit);
    event.preventDefault();
    setDraft(null);
    if (next !== null && next !== strength) onMove(next);
  };
  return (
    <input
      {...OWN_KEYS}
      class="sk-number"
      type="text"
      inputMode="decimal"
      autocomplete="off"
      spellcheck={false}
      aria-label={name}
      aria-invalid={invalid}
      title={invalid ? "Not a number: write one like 1.4 or −2" : title}
      value={draft ?? format(strength)}
      onFocus={(event) => event.currentTarget.select()}
      onBlur={() => setDraft(null)}
      onInput={(event) => type(event.currentTarget.value)}
      onKeyDown={(event) => {
        const { selectionStart, selectionEnd, value } = event.currentTarget;
        // Behind the e of 1e-5 they are signs.
        const behind =
          selectionStart === selectionEnd && selectionStart !== 0 && parse(value) !== null;
        if (event.key === "Enter" || event.key === "Escape") setDraft(null);
        else if (event.key === "+" && behind) step(event, "ArrowUp");
        else if (event.key === "-" && behind) step(event, "ArrowDown");
        else if (/^(Arrow(Up|Down)|Page(Up|Down))$/.test(event.key)) step(event, event.key);
      }}
    />
  );
}
