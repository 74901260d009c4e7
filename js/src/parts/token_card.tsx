import type { EditRow } from "../host/document";
import type { Row, TokenMeasures } from "../host/panel_state";
import { Card, type Pointed } from "./card";
import { format } from "./strength";

interface Props {
  id: string;
  at: Pointed;
  onClose: () => void;
  token: string;
  /** What the other text has there. */
  other: string | undefined;
  /** Its coefficients; undefined for a text that is not read. */
  row: Row | undefined;
  measures: TokenMeasures | null | undefined;
  edits: EditRow[];
  labels: string[];
}

const MOST = 6;

/** What is known of one token: what else might have stood there, its coefficients, and the KL there. */
export function TokenCard({ token, other, row, measures, edits, labels, ...card }: Props) {
  return (
    <Card {...card}>
      <div>
        <code>{visible(token)}</code> <span class="sk-dim">token {card.at.index + 1}</span>
      </div>
      {measures && (
        <table>
          <thead>
            <tr>
              <th scope="col">likely here</th>
              <th scope="col">steered</th>
              <th scope="col">baseline</th>
            </tr>
          </thead>
          <tbody>
            {measures.alternatives.slice(0, MOST).map(([name, steered, baseline]) => (
              <tr key={name}>
                <th scope="row">
                  <code>{visible(name)}</code>
                </th>
                <td>{share(steered)}</td>
                <td>{share(baseline)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {row &&
        edits.map(({ id: name, hue }, index) =>
          row[name] === undefined ? null : (
            <div class={`sk-card-row sk-hue-${hue}`} key={name}>
              <span>
                <span class="sk-dot" /> {labels[index]}
              </span>
              <span class="sk-figure">
                {row[name] === null ? "–" : format(rounded(row[name]!))}
              </span>
            </div>
          ),
        )}
      {measures?.kl != null && (
        <div class="sk-card-row sk-dim" title="How far the two models' predictions are apart here">
          <span>KL</span>
          <span class="sk-figure">{measures.kl.toFixed(2)} nats</span>
        </div>
      )}
      {other !== undefined && other !== token && (
        <div class="sk-card-row sk-dim">
          <span>in the other text</span>
          <code>{visible(other)}</code>
        </div>
      )}
    </Card>
  );
}

/** A probability as mocked: .61, and what is too small to show by a sign. */
function share(p: number): string {
  if (p >= 0.995) return "1";
  return p < 0.005 ? "<.01" : p.toFixed(2).slice(1);
}

function rounded(value: number): number {
  return Number(value.toPrecision(2));
}

/** White space made visible, and an empty token named. */
export function visible(text: string): string {
  return text.replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/^ | $/g, "·") || "end of text";
}
