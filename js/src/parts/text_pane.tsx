import type { ComponentChildren, RefObject } from "preact";
import { useState } from "preact/hooks";
import type { EditRow } from "../host/document";
import type { Pair, Shown } from "../host/shown";
import { usePointed } from "./card";
import { Prose } from "./prose";
import { TokenCard } from "./token_card";

/** One text of a pane, and what stands under it. */
export interface PaneText {
  pair: Pair;
  text: Shown;
  /** The other text, where the two can be compared. */
  other: Shown | null;
  running: boolean;
  figures: string[];
  warnings: string[];
}

interface Props {
  name: string;
  texts: PaneText[];
  /** Whether tokens that the other text does not have are marked. */
  marks: boolean;
  /** Beside the heading. */
  tools?: ComponentChildren;
  invitation: string;
  length: number;
  edits: EditRow[];
  labels: string[];
  tint: EditRow | undefined;
  scale: number;
  /** Picks a token of the new text to steer from; what is shown then. */
  picking?: { at: number | null; onPick: (index: number) => void };
  root: RefObject<HTMLElement | null>;
}

/** The texts of one side, one a seed; a card tells of the token that the pointer or the keyboard is on. */
export function TextPane(props: Props) {
  const { name, texts, marks, tools, tint, picking, edits, labels } = props;
  const { id, pointed, point, close } = usePointed(props.root);
  const [sample, setSample] = useState(0);
  const pointIn = (sample: number) => (index: number | null, token: HTMLElement | null) => {
    setSample(sample);
    point(index, token);
  };
  const over = pointed && texts[sample];
  return (
    <section class="sk-pane" aria-label={name} aria-busy={texts.some(({ running }) => running)}>
      <div class="sk-pane-head">
        <h2>{name}</h2>
        {tools}
      </div>
      {texts.map(({ pair, text, other, running, figures, warnings }, sample) => (
        <div class={`sk-text sk-hue-${tint?.hue ?? 0}`} key={pair.seed}>
          {texts.length > 1 && <h3>seed {pair.seed}</h3>}
          <Prose
            text={text}
            tint={tint?.id}
            against={marks && other ? { tokens: other.tokens, whole: !running } : null}
            running={running}
            scale={props.scale}
            picked={sample === 0 ? (picking?.at ?? null) : null}
            invitation={props.invitation}
            length={props.length}
            onPoint={pointIn(sample)}
            onPick={picking?.onPick}
          />
          <div class="sk-meta">
            {figures.map((figure) => (
              <span key={figure}>{figure}</span>
            ))}
            {warnings.map((warning) => (
              <span key={warning} class="sk-warning">
                {warning}
              </span>
            ))}
          </div>
        </div>
      ))}
      {pointed && over && pointed.index < over.text.tokens.length && (
        <TokenCard
          id={id}
          at={pointed}
          onClose={close}
          token={over.text.tokens[pointed.index] ?? ""}
          other={over.other?.tokens[pointed.index]}
          row={over.text.coefficients[pointed.index]}
          measures={marks ? over.pair.measures?.tokens[pointed.index] : undefined}
          edits={edits}
          labels={labels}
        />
      )}
    </section>
  );
}
