import type { AnyModel } from "@anywidget/types";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Question } from "../host/question";
import { followTheme } from "../host/theme";
import { useTraits, type ViewProps, widget } from "../host/widget";
import { Button } from "../parts/button";
import { figure } from "../parts/firing_list";
import { OWN_KEYS } from "../parts/focus";
import { Histogram } from "../parts/histogram";
import { Alarm } from "../parts/notices";
import { visible } from "../parts/token_card";
import "./feature_card.css";

type Effect = [token: string, effect: number];

interface Card {
  index: number;
  labels: { text: string; source: string; score: number | null }[];
  dictionary: string;
  site: string | null;
  norm: number;
  maximum: number | null;
  tokens: { promoted: Effect[]; suppressed: Effect[] } | { unknown: string } | null;
  nearest: [index: number, label: string][];
}

interface Measured {
  corpus: string;
  density: number;
  maximum: number;
  counts: number[];
  starts: number[];
  passages: [value: number, before: string, token: string, after: string][];
}

interface State {
  _protocol: number;
  _card: Card;
  _measured: Measured | null;
  _corpora: ("own" | "stories")[];
}

interface Shared {
  measure: Question<{ texts: string[] | null }, object>;
  show: Question<{ feature: number }, object>;
}

function shared(model: AnyModel<State>, signal: AbortSignal): Shared {
  const plain = model as unknown as AnyModel;
  return {
    measure: new Question(plain, "measure", signal),
    show: new Question(plain, "show", signal),
  };
}

function FeatureCard({ model, shared, signal }: ViewProps<State, Shared>) {
  const { measure, show } = shared;
  useTraits(model, ["_card", "_measured", "_corpora"], signal, (listener) => {
    const ends = [measure.subscribe(listener), show.subscribe(listener)];
    return () => {
      for (const end of ends) end();
    };
  });
  const root = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => followTheme(root.current!, signal), []);
  const card = model.get("_card");
  const measured = model.get("_measured");
  const [label, ...others] = card.labels;
  const failure = measure.failure ?? show.failure;
  return (
    <div class="sk-root sk-feature-card" ref={root}>
      <div class="sk-title">
        <h2>{label?.text ?? `feature ${card.index.toLocaleString("en")}`}</h2>
        <p class="sk-dim">{label ? evidence(label) : "Nobody has given it a label"}</p>
        {others.length > 0 && (
          <p class="sk-dim">
            Also: {others.map((other) => `${other.text} (${evidence(other)})`).join("; ")}
          </p>
        )}
      </div>
      <dl class="sk-facts">
        <Fact name="feature" value={`${card.index.toLocaleString("en")} of ${card.dictionary}`} />
        <Fact name="written at" value={card.site ?? "an unknown site"} />
        <Fact
          name="direction"
          value={figure(card.norm)}
          title="Length of its decoder row: what an activation of 1 adds"
        />
        {card.maximum !== null && (
          <Fact
            name="maximum"
            value={figure(card.maximum)}
            title="Largest activation known; 1 in the unit max"
          />
        )}
      </dl>
      <div class="sk-sides">
        <div class="sk-known">
          {card.tokens && "promoted" in card.tokens && (
            <>
              <Effects name="Promotes" effects={card.tokens.promoted} />
              <Effects name="Suppresses" effects={card.tokens.suppressed} />
            </>
          )}
          {card.tokens && "unknown" in card.tokens && <p class="sk-dim">{card.tokens.unknown}</p>}
          <section aria-label="Nearest features">
            <h3 title="By the angle between decoder rows, nearest first">Nearest</h3>
            <ul>
              {card.nearest.map(([index, name]) => (
                <li key={index}>
                  <Button
                    class="sk-plain sk-label"
                    title={`Show ${name}`}
                    onClick={() => show.ask({ feature: index })}
                  >
                    {name}
                  </Button>
                </li>
              ))}
            </ul>
          </section>
        </div>
        <section aria-label="Where it fires">
          <h3>Where it fires</h3>
          {measured ? (
            <Fires measured={measured} />
          ) : (
            <p class="sk-dim">
              {model.get("_corpora").length
                ? "Not measured yet."
                : "Not measured: FeatureCard(feature, model) measures over texts."}
            </p>
          )}
          <Measuring corpora={model.get("_corpora")} measure={measure} />
        </section>
      </div>
      {failure && <Alarm {...failure} />}
      <div class="sk-foot">
        <span role="status">{measure.notice || show.notice}</span>
      </div>
    </div>
  );
}

function Fact({ name, value, title }: { name: string; value: string; title?: string }) {
  return (
    <div title={title}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** Tokens with what the direction by itself does to their logits. */
function Effects({ name, effects }: { name: string; effects: Effect[] }) {
  const most = Math.max(...effects.map(([, effect]) => Math.abs(effect)), 0) || 1;
  return (
    <section class="sk-tokens" aria-label={`${name} these tokens`}>
      <h3 title="Its direct effect on the logits, past all later layers">{name}</h3>
      <ul class="sk-effects">
        {effects.map(([token, effect]) => (
          <li key={token}>
            <code>{visible(token)}</code>
            <span class="sk-bar" style={{ width: `${(50 * Math.abs(effect)) / most}px` }} />
            <span class="sk-dim">{figure(effect)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Fires({ measured }: { measured: Measured }) {
  const { corpus, density, maximum, counts, starts, passages } = measured;
  return (
    <>
      <p class="sk-dim">
        Active at {figure(100 * density)}% of tokens, at most {figure(maximum)}; {corpus}
      </p>
      <Histogram name="Activations" counts={counts} starts={starts} write={figure} />
      <ul class="sk-passages" aria-label="Top contexts">
        {passages.map(([value, before, token, after], k) => (
          <li key={k}>
            <span class="sk-dim">{figure(value)}</span>
            <span dir="auto">
              {before.trimStart()}
              <mark title={`activation ${figure(value)}`}>{token}</mark>
              {after}
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}

interface MeasuringProps {
  corpora: State["_corpora"];
  measure: Shared["measure"];
}

/** Texts to measure over: the reader's own, a line each, or storybook's. */
function Measuring({ corpora, measure }: MeasuringProps) {
  const [text, setText] = useState("");
  const texts = text.split("\n").filter((line) => line.trim() !== "");
  if (corpora.length === 0) return null;
  return (
    <div class="sk-measuring" aria-busy={measure.pending}>
      <textarea
        {...OWN_KEYS}
        rows={2}
        dir="auto"
        aria-label="Texts to measure over"
        placeholder="Texts to measure over, a line each"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <Button
        aria-disabled={texts.length === 0}
        onClick={() => texts.length > 0 && measure.ask({ texts })}
      >
        Measure
      </Button>
      {corpora.includes("stories") && (
        <Button onClick={() => measure.ask({ texts: null })}>Measure over stories</Button>
      )}
      {measure.pending && <span class="sk-dim">Measuring …</span>}
    </div>
  );
}

function evidence({ source, score }: Card["labels"][number]): string {
  return `label by ${source}${score === null ? ", not scored" : `, score ${score.toFixed(2)}`}`;
}

export default widget(FeatureCard, shared);
