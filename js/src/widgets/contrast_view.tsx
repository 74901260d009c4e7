import type { AnyModel } from "@anywidget/types";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { numbers, type Packed } from "../host/arrays";
import { Question } from "../host/question";
import { Features, type PackedFeatures } from "../host/reading";
import { followTheme } from "../host/theme";
import { useTraits, type ViewProps, widget } from "../host/widget";
import { Button } from "../parts/button";
import { figure, unsure } from "../parts/firing_list";
import { OWN_KEYS } from "../parts/focus";
import { Alarm } from "../parts/notices";
import "./contrast_view.css";

interface Found extends PackedFeatures {
  auroc: Packed;
  difference: Packed;
  in_positives: Packed;
  in_negatives: Packed;
  chance: number;
}

interface State {
  _protocol: number;
  positives: string[];
  negatives: string[];
  _found: Found | null;
  _selected: number[];
}

type Asked = Question<{ positives: string[]; negatives: string[] }, object>;

function ContrastView({ model, shared: asked, signal }: ViewProps<State, Asked>) {
  useTraits(model, ["positives", "negatives", "_found", "_selected"], signal, (listener) =>
    asked.subscribe(listener),
  );
  const root = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => followTheme(root.current!, signal), []);
  const found = model.get("_found");
  const sides = { positives: model.get("positives"), negatives: model.get("negatives") };
  const ready = Object.values(sides).every((texts) => texts.length > 0);
  const write = <K extends keyof State & string>(name: K, value: State[K]) => {
    model.set(name, value);
    model.save_changes();
  };
  return (
    <div class="sk-root sk-contrast-view" ref={root}>
      <div class="sk-sides">
        <Texts
          name="Texts that have it"
          texts={sides.positives}
          onWrite={(texts) => write("positives", texts)}
        />
        <Texts
          name="Texts that lack it"
          texts={sides.negatives}
          onWrite={(texts) => write("negatives", texts)}
        />
      </div>
      <div class="sk-bar" aria-busy={asked.pending}>
        <Button
          class="sk-go"
          aria-disabled={!ready}
          title={ready ? "" : "Give at least one text on either side"}
          onClick={() => ready && asked.ask(sides)}
        >
          Contrast
        </Button>
        <span role="status" class="sk-dim">
          {asked.notice || (asked.pending ? "Reading the texts …" : "")}
        </span>
      </div>
      {asked.failure && <Alarm {...asked.failure} />}
      {found && (
        <Marks
          found={found}
          selected={model.get("_selected")}
          onSelect={(selected) => write("_selected", selected)}
        />
      )}
    </div>
  );
}

interface TextsProps {
  name: string;
  texts: string[];
  onWrite: (texts: string[]) => void;
}

function Texts({ name, texts, onWrite }: TextsProps) {
  const field = useRef<HTMLTextAreaElement>(null);
  const typed = () => field.current!.value.split("\n").filter((line) => line.trim() !== "");
  // What is being typed stays as it is: only texts that come from elsewhere are written into the field.
  useLayoutEffect(() => {
    if (typed().join("\n") !== texts.join("\n")) field.current!.value = texts.join("\n");
  }, [texts]);
  return (
    <label>
      <span class="sk-heading">{name}, a line each</span>
      <textarea
        {...OWN_KEYS}
        ref={field}
        rows={4}
        dir="auto"
        spellcheck={false}
        onInput={() => onWrite(typed())}
      />
    </label>
  );
}

interface MarksProps {
  found: Found;
  selected: number[];
  onSelect: (selected: number[]) => void;
}

/** The features that tell the texts apart, marks of the positives first. */
function Marks({ found, selected, onSelect }: MarksProps) {
  const features = useMemo(() => new Features(found), [found]);
  const [auroc, difference, inPositives, inNegatives] = useMemo(
    () =>
      [found.auroc, found.difference, found.in_positives, found.in_negatives].map((packed) =>
        numbers(packed, "float32"),
      ) as [Float32Array, Float32Array, Float32Array, Float32Array],
    [found],
  );
  const percent = (share: number) => `${Math.round(100 * share)}%`;
  return (
    <div class="sk-marks">
      <table aria-label="Features that tell the texts apart">
        <thead>
          <tr>
            <th scope="col">
              <span class="sk-unseen">Chosen</span>
            </th>
            <th scope="col">Feature</th>
            <th
              scope="col"
              title="The probability that a text that has it scores higher than one that lacks it"
            >
              AUROC
            </th>
            <th
              scope="col"
              title="Mean of the largest activations in texts that have it, less those that lack it"
            >
              Gap
            </th>
            <th scope="col" title="Share of the texts that have it in which the feature is active">
              Have it
            </th>
            <th scope="col" title="Share of the texts that lack it in which the feature is active">
              Lack it
            </th>
          </tr>
        </thead>
        <tbody>
          {Array.from(features.indices, (index, row) => (
            <tr key={index}>
              <td>
                <input
                  {...OWN_KEYS}
                  type="checkbox"
                  aria-label={`Choose ${features.name(row)}`}
                  checked={selected.includes(index)}
                  onChange={() =>
                    onSelect(
                      selected.includes(index)
                        ? selected.filter((one) => one !== index)
                        : [...selected, index],
                    )
                  }
                />
              </td>
              <td
                dir="auto"
                title={`${features.name(row)}\n${features.evidence(row)}`}
                class={unsure(features, row) ? "sk-dim" : ""}
              >
                {features.name(row)} <small>{index.toLocaleString("en")}</small>
              </td>
              <td>{auroc[row]!.toFixed(2)}</td>
              <td>{figure(difference[row]!)}</td>
              <td>{percent(inPositives[row]!)}</td>
              <td>{percent(inNegatives[row]!)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="sk-dim">
        By luck alone the best of so many features could reach an AUROC of {found.chance.toFixed(2)}{" "}
        on these texts; other texts have to show more.
      </p>
    </div>
  );
}

export default widget<State, Asked>(
  ContrastView,
  (model, signal) => new Question(model as unknown as AnyModel, "contrast", signal),
);
