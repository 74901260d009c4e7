import type { Row, Slider } from "../host/model";
import { format } from "./strength";

/** The token that the pointer or the keyboard is on, and where it stands in the panel. */
export interface Pointed {
  index: number;
  left: number;
  top: number;
  bottom: number;
  room: number;
}

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

const WIDTH = 220;

/** What is known of one token: its number, its coefficients, and what the other text has there. */
export function TokenCard({ id, at, token, other, row, sliders }: Props) {
  const left = `${Math.max(0, Math.min(at.left, at.room - WIDTH))}px`;
  const above = at.top > 120;
  const place = above
    ? { left, top: `${at.top - 6}px`, transform: "translateY(-100%)" }
    : { left, top: `${at.bottom + 6}px` };
  return (
    <div class="sk-card" id={id} role="tooltip" style={{ width: `${WIDTH}px`, ...place }}>
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
    </div>
  );
}

function rounded(value: number): number {
  return Number(value.toPrecision(2));
}

/** White space made visible, and an empty token named. */
export function visible(text: string): string {
  return text.replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/^ | $/g, "·") || "end of text";
}
