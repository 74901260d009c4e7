import type { AnyModel } from "@anywidget/types";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { numbers, type Packed } from "../host/arrays";
import { scaleOf } from "../host/reading";
import { followTheme } from "../host/theme";
import { once, useTraits, type ViewProps, widget } from "../host/widget";
import { Button } from "../parts/button";
import { Card, usePointed } from "../parts/card";
import { Choice } from "../parts/choice";
import { figure } from "../parts/firing_list";
import { type ReadingStrip, readingStrip } from "../parts/reading_strip";
import { visible } from "../parts/token_card";
import "./compare_view.css";

interface PackedText {
  tokens: string[];
  special: Packed;
  logprobs: Packed;
  unsteered: Packed;
  about: string;
}

interface State {
  _protocol: number;
  _prompt: string;
  _baseline: PackedText;
  _steered: PackedText & { differs: Packed; lanes: Record<string, Packed> };
  _span: number[];
}

class Text {
  readonly tokens: string[];
  readonly special: Uint8Array;
  readonly logprobs: Float32Array;
  readonly unsteered: Float32Array;
  readonly about: string;

  constructor(packed: PackedText) {
    this.tokens = packed.tokens;
    this.special = numbers(packed.special, "uint8");
    this.logprobs = numbers(packed.logprobs, "float32");
    this.unsteered = numbers(packed.unsteered, "float32");
    this.about = packed.about;
  }
}

interface Comparison {
  baseline: Text;
  steered: Text;
  differs: Uint8Array;
  lanes: Map<string, Float32Array>;
}

function comparisonOf(model: AnyModel<State>): Comparison {
  const packed = model.get("_steered");
  return {
    baseline: new Text(model.get("_baseline")),
    steered: new Text(packed),
    differs: numbers(packed.differs, "uint8"),
    lanes: new Map(
      Object.entries(packed.lanes).map(([name, values]) => [name, numbers(values, "float32")]),
    ),
  };
}

function CompareView({ model, shared, signal }: ViewProps<State, () => Comparison>) {
  const comparison = shared();
  const { baseline, steered, differs, lanes } = comparison;
  useTraits(model, ["_span"], signal);
  const [lane, setLane] = useState("KL");
  const [glossed, setGlossed] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const { id, pointed, point, close } = usePointed(root);
  const [inSteered, setInSteered] = useState(false);
  const pointIn = (steered: boolean) => (index: number | null, element: HTMLElement | null) => {
    setInSteered(steered);
    point(index, element);
  };
  useLayoutEffect(() => followTheme(root.current!, signal), []);
  const span = model.get("_span");
  const values = lanes.get(lane)!;
  const n = differs.reduce((sum, one) => sum + one, 0);
  return (
    <div class="sk-root sk-compare-view" ref={root}>
      <div class="sk-bar">
        <label class="sk-field">
          Coloured by
          <Choice
            value={lane}
            options={[...lanes.keys()].map((name) => [
              name,
              name === "KL" ? "KL (steered ‖ baseline)" : name,
            ])}
            onChoose={setLane}
          />
        </label>
        <Button
          class="sk-toggle"
          aria-pressed={glossed}
          title="Write the baseline's token beneath each that differs"
          onClick={() => setGlossed(!glossed)}
        >
          Baseline beneath
        </Button>
      </div>
      <div class="sk-sides">
        <Side
          name="Baseline"
          prompt={model.get("_prompt")}
          text={baseline}
          values={null}
          differs={null}
          gloss={null}
          span={span}
          point={pointIn(false)}
          onChoose={null}
        />
        <Side
          name="Steered"
          prompt={model.get("_prompt")}
          text={steered}
          values={values}
          differs={differs}
          gloss={
            glossed
              ? steered.tokens.map((_, i) => (differs[i] ? visible(baseline.tokens[i] ?? "") : ""))
              : null
          }
          span={span}
          point={pointIn(true)}
          onChoose={(first, last) => {
            model.set("_span", [first, last]);
            model.save_changes();
          }}
        />
      </div>
      <div class="sk-foot">
        <span role="status">{summary(values, lane, span, n, steered.tokens.length)}</span>
      </div>
      {pointed && (
        <Card id={id} at={pointed} onClose={close}>
          <TokenFigures comparison={comparison} of={inSteered} index={pointed.index} />
        </Card>
      )}
    </div>
  );
}

interface SideProps {
  name: string;
  prompt: string;
  text: Text;
  values: Float32Array | null;
  differs: Uint8Array | null;
  gloss: string[] | null;
  span: number[];
  point: (index: number | null, element: HTMLElement | null) => void;
  onChoose: ((first: number, last: number) => void) | null;
}

function Side(props: SideProps) {
  const { name, prompt, text, values, differs, gloss, span, point, onChoose } = props;
  const body = useRef<HTMLDivElement>(null);
  const strip = useRef<ReadingStrip>(null);
  const calls = useRef({ point, onChoose });
  calls.current = { point, onChoose };
  useLayoutEffect(() => {
    const own = new AbortController();
    strip.current = readingStrip(body.current!, text.tokens, text.special, own.signal, {
      pointed: (index, element) => calls.current.point(index, element),
      chosen: (first, last) => calls.current.onChoose?.(first, last),
    });
    if (differs) strip.current.underline(differs);
    return () => own.abort();
  }, []);
  useLayoutEffect(() => {
    if (!values) return;
    const scale = scaleOf(values, text.special) || 1;
    strip.current!.paint([values.map((value) => value / scale)]);
  }, [values]);
  useLayoutEffect(() => strip.current!.gloss(gloss), [gloss?.join("\0")]);
  // The two texts run in step: the same places are marked in both, as far as they go.
  useLayoutEffect(() => strip.current!.mark(span), [span]);
  return (
    <section aria-label={name}>
      <h2>{name}</h2>
      <div class="sk-strips" dir="auto">
        <span class="sk-lead">{prompt}</span>
        <div class="sk-reading sk-hue-0" ref={body} />
      </div>
      <p class="sk-dim">{text.about}</p>
    </section>
  );
}

interface FigureProps {
  comparison: Comparison;
  of: boolean;
  index: number;
}

/** What is known of one token. */
function TokenFigures({ comparison, of, index }: FigureProps) {
  const { baseline, steered, differs, lanes } = comparison;
  const text = of ? steered : baseline;
  const rows: [string, number][] = [[of ? "steered" : "baseline", text.logprobs[index]!]];
  if (of) rows.push(["unsteered model", text.unsteered[index]!]);
  return (
    <>
      <div>
        <code>{visible(text.tokens[index]!)}</code> <span class="sk-dim">token {index + 1}</span>
      </div>
      {rows
        .filter(([, logprob]) => !Number.isNaN(logprob))
        .map(([name, logprob]) => (
          <div class="sk-card-row" key={name}>
            <span>probability, {name}</span>
            <span class="sk-figure">{figure(Math.exp(logprob))}</span>
          </div>
        ))}
      {of &&
        [...lanes].map(([name, values]) => (
          <div class="sk-card-row" key={name}>
            <span>{name === "KL" ? "KL, nats" : name}</span>
            <span class="sk-figure">
              {Number.isNaN(values[index]!) ? "–" : figure(values[index]!)}
            </span>
          </div>
        ))}
      {of && differs[index] === 1 && (
        <div class="sk-card-row sk-dim">
          <span>baseline</span>
          <code>{visible(baseline.tokens[index] ?? "")}</code>
        </div>
      )}
    </>
  );
}

/** How many tokens differ, and the mean over the text or over what is selected. */
function summary(
  values: Float32Array,
  lane: string,
  span: number[],
  n: number,
  nTokens: number,
): string {
  const [first, last] = span.length === 2 ? (span as [number, number]) : [0, nTokens - 1];
  const here = [...values.slice(first, last + 1)].filter((value) => !Number.isNaN(value));
  const mean = here.reduce((sum, value) => sum + value, 0) / (here.length || 1);
  const where = span.length === 2 ? `tokens ${first + 1} to ${last + 1}` : "the whole text";
  const unit = lane === "KL" ? " nats" : "";
  return `${n} of ${nTokens} tokens differ · mean ${lane} over ${where}: ${figure(mean)}${unit}`;
}

export default widget(CompareView, (model) => once(() => comparisonOf(model)));
