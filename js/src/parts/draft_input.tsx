import { useState } from "preact/hooks";
import { OWN_KEYS } from "./focus";

interface Props {
  type: "text" | "number";
  value: string | number;
  min?: number;
  max?: number | undefined;
  step?: number;
  class?: string;
  style?: { width: string };
  inputMode?: "numeric";
  "aria-label"?: string;
  /** Takes what was typed, if it means something: the field then shows the new value, else the old one. */
  onCommit: (field: HTMLInputElement) => void;
}

/** A field that keeps what is being typed, whatever is redrawn meanwhile, until Enter or until it is left. */
export function DraftInput({ value, onCommit, ...rest }: Props) {
  const [draft, setDraft] = useState<string | null>(null);
  const commit = (field: HTMLInputElement) => {
    if (draft !== null) onCommit(field);
    setDraft(null);
  };
  return (
    <input
      {...OWN_KEYS}
      // Preact's types tell text fields with a list from those without.
      {...(rest as { type: "number" })}
      value={draft ?? value}
      onInput={(event) => setDraft(event.currentTarget.value)}
      onChange={(event) => commit(event.currentTarget)}
      onKeyDown={(event) => {
        // Hosts that handle Enter themselves keep the browser from telling of a change.
        if (event.key === "Enter") commit(event.currentTarget);
        else if (event.key === "Escape") setDraft(null);
      }}
    />
  );
}
