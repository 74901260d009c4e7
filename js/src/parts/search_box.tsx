import { useState } from "preact/hooks";
import type { Target } from "../host/document";
import type { Question } from "../host/question";
import { OWN_KEYS } from "./focus";
import { useOwnId } from "./own_id";

interface Props {
  question: Question<{ words: string }, Target[]>;
  onChoose: (target: Target) => void;
}

/** A search for features by their labels; arrow keys walk along what is found, Enter takes it. */
export function SearchBox({ question, onChoose }: Props) {
  const id = useOwnId();
  const [words, setWords] = useState("");
  const [at, setAt] = useState(0);
  const { answered, failure, notice } = question;
  const open = words.trim() !== "";
  const found = open && answered ? answered.result : [];
  // What is found may answer the words before these.
  const current = answered?.args.words === words;

  const type = (text: string) => {
    setWords(text);
    setAt(0);
    if (text.trim() === "") question.clear();
    else question.ask({ words: text });
  };
  const choose = (target: Target | undefined) => {
    if (!target) return;
    onChoose(target);
    type("");
  };
  const keys: Record<string, () => void> = {
    ArrowDown: () => setAt(Math.max(0, Math.min(at + 1, found.length - 1))),
    ArrowUp: () => setAt(Math.max(at - 1, 0)),
    Enter: () => current && choose(found[at]),
    Escape: () => type(""),
  };
  return (
    <div class="sk-search">
      <input
        {...OWN_KEYS}
        type="search"
        placeholder="Add a feature: search its label"
        aria-label="Search features"
        aria-controls={open ? `${id}-found` : undefined}
        aria-activedescendant={found.length ? `${id}-${at}` : undefined}
        autocomplete="off"
        spellcheck={false}
        value={words}
        onInput={(event) => type(event.currentTarget.value)}
        onKeyDown={(event) => {
          const act = keys[event.key];
          if (!act) return;
          event.preventDefault();
          event.stopPropagation();
          act();
        }}
      />
      {open && (
        <div class="sk-found">
          <div role="listbox" id={`${id}-found`} aria-label="Features found">
            {found.map((target, index) => (
              // biome-ignore lint/a11y/useKeyWithClickEvents: the search box keeps the focus, and has the keys
              <div
                key={`${target.label} ${target.detail}`}
                id={`${id}-${index}`}
                role="option"
                tabIndex={-1}
                aria-selected={index === at}
                aria-label={target.label}
                title={`${target.label} · ${target.detail}`}
                onPointerDown={(event) => event.preventDefault()}
                onPointerEnter={() => setAt(index)}
                onClick={() => choose(target)}
              >
                <span>{target.label}</span>
                <small>{target.detail}</small>
              </div>
            ))}
          </div>
          <div class="sk-dim" role="status">
            {failure?.message ?? notice}
            {current &&
              found.length === 0 &&
              `No label answers “${words}”. Try fewer or other words.`}
          </div>
        </div>
      )}
    </div>
  );
}
