import type { AnyModel } from "@anywidget/types";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { numbers } from "../host/arrays";
import { ALL, choose, type Filter, type Order } from "../host/choice";
import { type PackedFamilies, type PackedPicker, PickerFeatures } from "../host/picker_features";
import { Question } from "../host/question";
import { followTheme } from "../host/theme";
import { once, useTraits, type ViewProps, widget } from "../host/widget";
import { Button } from "../parts/button";
import { Choice } from "../parts/choice";
import { OWN_KEYS } from "../parts/focus";
import { Alarm } from "../parts/notices";
import { useOwnId } from "../parts/own_id";
import { Filters } from "../parts/picker_filters";
import { Cells, columnsOf, described } from "../parts/picker_row";
import { VirtualRows } from "../parts/virtual_rows";
import "./feature_picker.css";

interface State {
  _protocol: number;
  _about: string;
  _features: PackedPicker;
  _families: PackedFamilies;
  _ways: Way[];
  _selected: number[];
  /** The first of the list as it stands, for Python. */
  _listed: number[];
}

type Way = "words" | "text" | "token" | "contrast" | "nearest";
interface Search {
  by: Way;
  text: string;
  against: string;
  feature: number | null;
}

/** How much of the list Python is told. */
const TOLD = 200;

const WAYS: Record<Way, { name: string; hint: string; value: string; title: string }> = {
  words: {
    name: "words",
    hint: "Words in a label, or their beginnings",
    value: "",
    title: "",
  },
  text: {
    name: "a text",
    hint: "Paste a text: what fires in it comes first",
    value: "in text",
    title: "Largest activation in the text",
  },
  token: {
    name: "a token",
    hint: "A word, as “ rain”: features that make it likely come first",
    value: "effect",
    title: "Effect of the feature, by itself, on the token's logit",
  },
  contrast: {
    name: "two texts",
    hint: "What fires in this text …",
    value: "difference",
    title: "Largest activation in the first text less that in the second",
  },
  nearest: {
    name: "nearness",
    hint: "",
    value: "",
    title: "",
  },
};

function FeaturePicker({ model, shared, signal }: ViewProps<State, () => PickerFeatures>) {
  const features = shared();
  // What is searched for is a view's own, and so is what was found.
  const find = useState(
    () => new Question<Search, object>(model as unknown as AnyModel, "find", signal),
  )[0];
  useTraits(model, ["_selected"], signal, (listener) => find.subscribe(listener));
  const [search, setSearch] = useState<Search>({
    by: "words",
    text: "",
    against: "",
    feature: null,
  });
  const [filter, setFilter] = useState<Filter>(ALL);
  const [order, setOrder] = useState<Order>("match");
  const [active, setActive] = useState(0);
  const root = useRef<HTMLDivElement>(null);
  const id = useOwnId();
  useLayoutEffect(() => followTheme(root.current!, signal), []);

  const selected = model.get("_selected");
  const way = WAYS[search.by];
  const ask = (change: Partial<Search>) => {
    const next = { ...search, ...change };
    setSearch(next);
    setActive(0);
    if (isEmpty(next)) find.clear();
    else find.ask(next);
  };
  // Without a kernel the labels can be searched all the same, though less well.
  const alone = find.notice !== "" && search.by === "words";
  const found = useMemo(() => {
    if (isEmpty(search)) return null;
    if (alone) return { indices: features.withWords(search.text), values: null };
    if (!find.answered) return null;
    const [indices, values] = find.answered.buffers as [DataView, DataView];
    return {
      indices: numbers({ dtype: "uint32", data: indices }, "uint32"),
      values: numbers({ dtype: "float32", data: values }, "float32"),
    };
  }, [find.answered, alone, isEmpty(search), alone && search.text]);
  const answer = WAYS[find.answered?.args.by ?? search.by];
  const values = useMemo(() => {
    const { indices, values } = found ?? {};
    return values && way.value
      ? new Map(Array.from(indices!, (index, k) => [index, values[k]!]))
      : null;
  }, [found, way]);
  const listed = useMemo(
    () => choose(features, found?.indices ?? null, filter, order),
    [found, filter, order],
  );
  useLayoutEffect(() => {
    // The best of what was found stands at the top.
    const rows = root.current!.querySelector("[role=listbox]");
    if (rows) rows.scrollTop = 0;
    const first = Array.from(listed.subarray(0, TOLD));
    if (String(first) === String(model.get("_listed"))) return;
    model.set("_listed", first);
    model.save_changes();
  }, [listed]);
  const chosen = new Set(selected);
  const columns = useMemo(() => columnsOf(features, values && answer), [values]);
  const toggle = (index: number) => {
    const next = chosen.has(index) ? selected.filter((one) => one !== index) : [...selected, index];
    model.set("_selected", next);
    model.save_changes();
    const feature = next.at(-1) ?? null;
    if (search.by === "nearest" && feature !== search.feature) ask({ feature });
  };
  return (
    <div class="sk-root sk-feature-picker" ref={root}>
      <div class="sk-bar">
        <label class="sk-field">
          Search by
          <Choice
            value={search.by}
            options={model.get("_ways").map((by) => [by, WAYS[by].name])}
            onChoose={(by) => ask({ by, feature: selected.at(-1) ?? null })}
          />
        </label>
        {search.by === "nearest" ? (
          <span class="sk-grow">
            {search.feature === null
              ? "Choose a feature: those nearest to it come first."
              : `Nearest to ${features.name(search.feature)}`}
          </span>
        ) : (
          <input
            {...OWN_KEYS}
            class="sk-grow"
            type="search"
            aria-label="Search features"
            placeholder={way.hint}
            dir="auto"
            autocomplete="off"
            spellcheck={false}
            value={search.text}
            onInput={(event) => ask({ text: event.currentTarget.value })}
            onKeyDown={(event) => {
              if (event.key !== "ArrowDown") return;
              event.preventDefault();
              root.current!.querySelector<HTMLElement>("[role=listbox]")?.focus();
            }}
          />
        )}
        {search.by === "contrast" && (
          <input
            {...OWN_KEYS}
            class="sk-grow"
            type="search"
            dir="auto"
            aria-label="and not in this text"
            placeholder="… and not in this one"
            value={search.against}
            onInput={(event) => ask({ against: event.currentTarget.value })}
          />
        )}
      </div>
      <Filters {...{ features, filter, order }} onFilter={setFilter} onOrder={setOrder} />
      <div
        class="sk-list"
        style={{ "--columns": `64px minmax(0, 1fr) ${"64px ".repeat(columns.length)}` }}
      >
        <div class="sk-columns" aria-hidden="true">
          <span>feature</span>
          <span>label</span>
          {columns.map(({ name, title }) => (
            <span key={name} title={title}>
              {name}
            </span>
          ))}
        </div>
        {listed.length === 0 ? (
          <p class="sk-dim">
            {found?.indices.length
              ? "What was found does not pass the filters: loosen them."
              : "Nothing was found. Try fewer or other words, the beginning of one, or another way to search."}
          </p>
        ) : (
          <VirtualRows
            name="Features"
            id={id}
            count={listed.length}
            active={Math.min(active, listed.length - 1)}
            onActive={setActive}
            chosen={(row) => chosen.has(listed[row]!)}
            onChoose={(row) => toggle(listed[row]!)}
            description={(row) => described(columns, values, listed[row]!)}
            row={(row) => (
              <Cells
                {...{ features, columns, values }}
                index={listed[row]!}
                chosen={chosen.has(listed[row]!)}
              />
            )}
          />
        )}
      </div>
      {find.failure && <Alarm {...find.failure} />}
      <div class="sk-chosen" role="group" aria-label="Chosen features">
        {selected.map((index) => (
          <span class="sk-chip" key={index}>
            <span class="sk-label" title={features.evidence(index)}>
              {features.name(index)}
            </span>
            <Button
              class="sk-plain"
              aria-label={`Take out ${features.name(index)}`}
              title="Take out"
              onClick={() => toggle(index)}
            >
              ×
            </Button>
          </span>
        ))}
      </div>
      <div class="sk-foot">
        <span role="status">
          {find.notice && !alone
            ? find.notice
            : `${count(listed.length)} of ${count(features.indices.length)}${alone ? ": labels with these words (no kernel answers)" : ""}`}
        </span>
        <span>{model.get("_about")}</span>
      </div>
    </div>
  );
}

/** Nothing to look for yet. */
function isEmpty({ by, text, against, feature }: Search): boolean {
  if (by === "nearest") return feature === null;
  return text.trim() === "" || (by === "contrast" && against.trim() === "");
}

function count(n: number): string {
  return n.toLocaleString("en");
}

export default widget<State, () => PickerFeatures>(FeaturePicker, (model) =>
  once(() => new PickerFeatures(model.get("_features"), model.get("_families"))),
);
