import type { AnyModel } from "@anywidget/types";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { numbers, type Packed } from "../host/arrays";
import { type PackedSource, Source, scaleOf } from "../host/reading";
import { followTheme, N_HUES } from "../host/theme";
import { useTraits, type ViewProps, widget } from "../host/widget";
import { Button } from "../parts/button";
import { Card, usePointed } from "../parts/card";
import { FiringList, figure } from "../parts/firing_list";
import { type Lane, type ReadingStrip, readingStrip } from "../parts/reading_strip";
import { visible } from "../parts/token_card";
import "./token_view.css";

interface State {
  _protocol: number;
  _tokens: string[];
  _special: Packed;
  _sources: PackedSource[];
  _silent: [source: number, feature: number, label: string][];
  _selected: [source: number, feature: number][];
  _span: number[];
}

interface Reading {
  tokens: string[];
  special: Uint8Array;
  sources: Source[];
  /** Tells it from the reading before. */
  place: number;
}

const MOST_PINNED = 3;
/** Labels beneath tokens take room: longer texts begin without. */
const GLOSSED_TOKENS = 60;
const LISTED_IN_CARD = 5;

function readingOf(model: AnyModel<State>, place: number): Reading {
  return {
    place,
    tokens: model.get("_tokens"),
    special: numbers(model.get("_special"), "uint8"),
    sources: model.get("_sources").map((packed) => new Source(packed)),
  };
}

function TokenView({ model, signal }: ViewProps<State, null>) {
  useTraits(model, ["_selected", "_span", "_silent", "_sources"], signal);
  const count = useRef(0);
  const reading = useMemo(() => readingOf(model, ++count.current), [model.get("_sources")]);
  const { tokens, special, sources } = reading;
  const [glossed, setGlossed] = useState(tokens.length <= GLOSSED_TOKENS);
  const root = useRef<HTMLDivElement>(null);
  const { id, pointed, point, close } = usePointed(root);
  const hues = useRef(new Map<string, number>()).current;
  useLayoutEffect(() => followTheme(root.current!, signal), []);
  useLayoutEffect(() => point(null, null), [reading]);

  const pinned = model.get("_selected");
  const span = model.get("_span");
  keepHues(hues, pinned);
  const write = <K extends keyof State & string>(name: K, value: State[K]) => {
    model.set(name, value);
    model.save_changes();
  };
  const pin = (source: number, feature: number) => {
    const others = pinned.filter(([s, f]) => s !== source || f !== feature);
    write("_selected", others.length < pinned.length ? others : [...pinned, [source, feature]]);
  };
  const firing = useMemo(() => {
    if (span.length !== 2) return [];
    const found = sources.map((of, source) => of.firing(source, span[0]!, span[1]!, special));
    return found.flat().sort((a, b) => b.size - a.size);
  }, [span, reading]);
  return (
    <div class="sk-root sk-token-view" ref={root}>
      <div class="sk-legend" role="group" aria-label="Coloured by">
        {pinned.length === 0 && (
          <span class="sk-dim">
            Coloured by the strongest feature at each token
            {sources.every((source) => source.calibrated) && ", as a share of its own maximum"}
          </span>
        )}
        {pinned.map(([source, feature]) => (
          <Chip
            key={`${source} ${feature}`}
            {...{ reading, source, feature, silent: model.get("_silent") }}
            hue={hues.get(`${source} ${feature}`)!}
            onRemove={() => pin(source, feature)}
          />
        ))}
        <Button
          class="sk-toggle"
          aria-pressed={glossed}
          title="Write the strongest feature's label beneath each token"
          onClick={() => setGlossed(!glossed)}
        >
          Labels
        </Button>
      </div>
      <div class="sk-strips">
        {sources.map((source, place) => (
          <Row
            key={`${reading.place} ${place}`}
            {...{ reading, source, glossed, span, point }}
            heading={sources.length > 1}
            columns={pinned.filter(([s]) => s === place).map(([, f]) => source.column(f) ?? -1)}
            hues={pinned.filter(([s]) => s === place).map(([s, f]) => hues.get(`${s} ${f}`)!)}
            onChoose={(first, last) => write("_span", [first, last])}
          />
        ))}
      </div>
      <section class="sk-found" aria-label="What fires">
        {span.length === 2 ? (
          <>
            <h2 aria-live="polite">{heading(tokens, span, firing.length)}</h2>
            <FiringList
              caption="Features that fire there, the strongest first"
              {...{ firing, sources }}
              hueOf={(source, feature) => hues.get(`${source} ${feature}`)}
              full={pinned.length >= MOST_PINNED}
              onPin={pin}
            />
          </>
        ) : (
          <p class="sk-dim">
            Click a token to see what fires there. Select several to rank features over them.
          </p>
        )}
      </section>
      {pointed && pointed.index < tokens.length && (
        <Card id={id} at={pointed} onClose={close}>
          <div>
            <code>{visible(tokens[pointed.index]!)}</code>{" "}
            <span class="sk-dim">
              token {pointed.index + 1}
              {special[pointed.index] ? ", special: out of scale, not coloured" : ""}
            </span>
          </div>
          {cardRows(reading, pinned, pointed.index).map(({ key, source, column, value }) => (
            <div class="sk-card-row" key={key}>
              <span>
                {source.name(column)} {sources.length > 1 && <small>{source.site}</small>}
              </span>
              <span class="sk-figure">{value === 0 ? "–" : figure(value)}</span>
            </div>
          ))}
        </Card>
      )}
    </div>
  );
}

interface RowProps {
  reading: Reading;
  source: Source;
  heading: boolean;
  columns: number[];
  hues: number[];
  glossed: boolean;
  span: number[];
  point: (index: number | null, element: HTMLElement | null) => void;
  onChoose: (first: number, last: number) => void;
}

/** The text, coloured by features of one dictionary. */
function Row(props: RowProps) {
  const { reading, source, heading, columns, hues, glossed, span, point, onChoose } = props;
  const { tokens, special } = reading;
  const body = useRef<HTMLDivElement>(null);
  const strip = useRef<ReadingStrip>(null);
  const calls = useRef({ point, onChoose });
  calls.current = { point, onChoose };
  const strongest = useMemo(() => source.strongest(), [source]);

  useLayoutEffect(() => {
    const own = new AbortController();
    strip.current = readingStrip(body.current!, tokens, special, own.signal, {
      pointed: (index, element) => calls.current.point(index, element),
      chosen: (first, last) => calls.current.onChoose(first, last),
    });
    return () => own.abort();
  }, []);
  useLayoutEffect(() => {
    const series = columns.length
      ? columns.map((column) => source.along(column))
      : [strongest.sizes];
    strip.current!.paint(series.map((values) => shares(values, special)));
  }, [columns.join()]);
  useLayoutEffect(() => {
    const label = (column: number, token: number) =>
      column < 0 || special[token] ? "" : source.name(column);
    strip.current!.gloss(glossed ? Array.from(strongest.columns, label) : null);
  }, [glossed]);
  useLayoutEffect(() => strip.current!.mark(span), [span]);

  const used = hues.length ? hues : [0];
  const style = Object.fromEntries(
    used.map((hue, k) => [`--hue-${"abc"[k]}`, `var(--sk-hue-${hue})`]),
  );
  return (
    <section aria-label={`Text read at ${source.site}${heading ? `: ${source.title}` : ""}`}>
      {heading && (
        <h2 title={source.title}>
          {source.site} <small>{source.title}</small>
        </h2>
      )}
      <div class={`sk-reading sk-hue-${used[0]}`} style={style} ref={body} />
    </section>
  );
}

interface ChipProps {
  reading: Reading;
  source: number;
  feature: number;
  silent: State["_silent"];
  hue: number;
  onRemove: () => void;
}

function Chip({ reading, source, feature, silent, hue, onRemove }: ChipProps) {
  const { sources, special, tokens } = reading;
  const of = sources[source]!;
  const column = of.column(feature);
  const label = silent.find(([s, f]) => s === source && f === feature)?.[2];
  const name = column === undefined ? (label ?? `feature ${feature}`) : of.name(column);
  const values = column === undefined ? new Float32Array() : of.along(column);
  const most = scaleOf(values, special);
  const peak = values.findIndex((value, i) => !special[i] && Math.abs(value) === most);
  return (
    <span class={`sk-chip sk-hue-${hue}`}>
      <span class="sk-dot" />
      <span title={column === undefined ? "" : of.evidence(column)}>{name}</span>
      {sources.length > 1 && <small>{of.site}</small>}
      <small>
        {most > 0
          ? `max ${figure(values[peak]!)} at “${tokens[peak]!.trim()}”`
          : "does not fire here"}
      </small>
      <Button class="sk-plain" aria-label={`Unpin ${name}`} title="Unpin" onClick={onRemove}>
        ×
      </Button>
    </span>
  );
}

/** A pinned feature keeps its hue while others come and go. */
function keepHues(hues: Map<string, number>, pinned: State["_selected"]): void {
  const keys = pinned.map(([source, feature]) => `${source} ${feature}`);
  for (const key of hues.keys()) if (!keys.includes(key)) hues.delete(key);
  for (const key of keys.filter((key) => !hues.has(key))) {
    const free = Array.from({ length: N_HUES }, (_, hue) => hue);
    hues.set(key, free.find((hue) => ![...hues.values()].includes(hue)) ?? 0);
  }
}

function shares(values: Float32Array, special: Uint8Array): Lane {
  const scale = scaleOf(values, special) || 1;
  return values.map((value) => value / scale);
}

function heading(tokens: string[], [first, last]: number[], n: number): string {
  const features = `${n.toLocaleString("en")} feature${n === 1 ? "" : "s"}`;
  if (first === last) return `${features} at “${visible(tokens[first!]!)}”, token ${first! + 1}`;
  return `${features} over tokens ${first! + 1} to ${last! + 1}, ranked by their mean`;
}

interface CardRow {
  key: string;
  source: Source;
  column: number;
  value: number;
}

/** What the card says of a token: the pinned features, then the strongest. */
function cardRows(
  { sources, special }: Reading,
  pinned: State["_selected"],
  token: number,
): CardRow[] {
  if (special[token]) return [];
  const row = (place: number, column: number, value: number): CardRow => {
    return { key: `${place} ${column}`, source: sources[place]!, column, value };
  };
  const rows = pinned.flatMap(([place, feature]) => {
    const source = sources[place]!;
    const column = source.column(feature);
    return column === undefined ? [] : [row(place, column, source.along(column)[token]!)];
  });
  const known = new Set(rows.map(({ key }) => key));
  const strongest = sources
    .flatMap((of, source) => of.firing(source, token, token, special))
    .sort((a, b) => b.size - a.size)
    .slice(0, LISTED_IN_CARD)
    .map(({ source, column, mean }) => row(source, column, mean))
    .filter(({ key }) => !known.has(key));
  return [...rows, ...strongest];
}

export default widget<State, null>(TokenView, () => null);
