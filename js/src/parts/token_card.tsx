import type { Row, Slider } from "../host/model";
import { Card, type Pointed } from "./card";
import { format } from "./strength";

interface Props {
  id: string;
  at: Pointed;
  token: string;
  /** What the baseline has there. */
  other: string | undefined;
  /** Its coefficients; undefined for a text that is not read. */
  row: Row | undefined;
  sliders: Slider[];
}

/** What is known of one token: its number, its coefficients, and what the other text has there. */
export function TokenCard({ id, at, token, other, row, sliders }: Props) {
  return (
    <Card id={id} at={at}>
      <div>
        <code>{visible(token)}</code> <span class="sk-dim">token {at.index + 1}</span>
      </div>
      {row &&
        sliders.map(({ label }, column) => {
          const value = row[column];
          return (
            <div class="sk-card-row" key={label}>
              <span>{label}</span>
              <span class="sk-figure">{value == null ? "–" : format(rounded(value))}</span>
            </div>
          );
        })}
      {other !== undefined && other !== token && (
        <div class="sk-card-row sk-dim">
          <span>baseline</span>
          <code>{visible(other)}</code>
        </div>
      )}
    </Card>
  );
}

function rounded(value: number): number {
  return Number(value.toPrecision(2));
}

/** White space made visible, and an empty token named. */
export function visible(text: string): string {
  return text.replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/^ | $/g, "·") || "end of text";
}
