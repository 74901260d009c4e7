import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { download } from "../host/download";
import type { Panel } from "../host/panel";
import { Button } from "./button";
import { OWN_KEYS } from "./focus";

/** The connection to the kernel breaks at 10 MiB, and some characters take two in a message. */
const MOST_BYTES = 7e6;

/** Takes the panel out as Python or as a recipe, and a recipe in. */
export function Exchange({ panel }: { panel: Panel }) {
  const { script, recipe, load } = panel;
  const file = useRef<HTMLInputElement>(null);
  const [refused, setRefused] = useState(false);
  const [asked, setAsked] = useState({ script: false, recipe: false });

  useLayoutEffect(() => {
    if (asked.script && script.answered) {
      setAsked({ ...asked, script: false });
      // Some hosts keep the clipboard from their pages: then the script is shown, to be copied by hand.
      const copied = navigator.clipboard?.writeText(script.answered.result) ?? Promise.reject();
      copied.catch(() => setRefused(true));
    }
    if (asked.recipe && recipe.answered) {
      setAsked({ ...asked, recipe: false });
      download("recipe.json", recipe.answered.result, "application/json");
    }
  });

  const ask = (what: "script" | "recipe") => {
    panel[what].clear();
    panel[what].ask({});
    setAsked({ ...asked, [what]: true });
    setRefused(false);
  };
  const read = async (input: HTMLInputElement) => {
    const chosen = input.files?.[0];
    input.value = "";
    if (!chosen) return;
    if (chosen.size <= MOST_BYTES) load.ask({ text: await chosen.text() });
    else
      load.clear({
        kind: "TooLarge",
        message: "The file is too large for the way to the kernel.",
        hint: "At most 7 MB pass; sk.Recipe.load reads it in Python.",
      });
  };
  const copied = script.answered && !asked.script && !refused;
  return (
    <>
      <Button title="A script that writes the steered text" onClick={() => ask("script")}>
        {copied ? "Copied" : "Copy as Python"}
      </Button>
      <Button
        title="A file with all that is needed to write this text again"
        onClick={() => ask("recipe")}
      >
        Save recipe
      </Button>
      <Button
        title="Take over the prompt, edits and settings of a recipe"
        onClick={() => file.current!.click()}
      >
        Load recipe
      </Button>
      <input
        {...OWN_KEYS}
        ref={file}
        type="file"
        accept=".json,application/json"
        aria-label="Recipe file"
        hidden
        onChange={(event) => void read(event.currentTarget)}
      />
      {refused && script.answered && (
        <textarea
          {...OWN_KEYS}
          class="sk-script"
          readOnly
          rows={6}
          aria-label="Python script"
          value={script.answered.result}
          onFocus={(event) => event.currentTarget.select()}
        />
      )}
    </>
  );
}
