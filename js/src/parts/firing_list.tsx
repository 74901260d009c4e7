import { type Features, type Firing, type Source, SURE } from "../host/reading";
import { Button } from "./button";

interface Props {
  /** What it is a list of, for those who cannot see where it stands. */
  caption: string;
  /** The largest first. */
  firing: Firing[];
  sources: Source[];
  /** The hue of a pinned feature; undefined for others. */
  hueOf: (source: number, feature: number) => number | undefined;
  full: boolean;
  onPin: (source: number, feature: number) => void;
}

const MOST_ROWS = 40;

/** Features by how much they fire, with a button each that pins them. */
export function FiringList({ caption, firing, sources, hueOf, full, onPin }: Props) {
  const most = firing[0]?.size ?? 0;
  const shares = sources.every(({ calibrated }) => calibrated);
  const several = sources.length > 1;
  const span = firing.some(({ max, mean }) => max !== mean);
  return (
    <table class="sk-firing" aria-label={caption}>
      <colgroup>
        <col style={{ width: "28px" }} />
        <col />
        {several && <col style={{ width: "18%" }} />}
        <col style={{ width: "18%" }} />
        <col style={{ width: "82px" }} />
        {span && <col style={{ width: "96px" }} />}
      </colgroup>
      <thead>
        <tr>
          <th scope="col">
            <span class="sk-unseen">Pinned</span>
          </th>
          <th scope="col">Feature</th>
          {several && <th scope="col">Site</th>}
          <th
            scope="col"
            title={`What they are ranked by${shares ? ": the activation as a share of the feature's maximum" : ""}`}
          >
            {shares ? "Share" : "Size"}
          </th>
          <th scope="col" class="sk-figure" title="Over a span the mean, special tokens left out">
            {span ? "Mean" : "Activation"}
          </th>
          {span && (
            <th scope="col" class="sk-figure" title="The largest, and at how many of the tokens">
              Max, count
            </th>
          )}
        </tr>
      </thead>
      <tbody>
        {firing.slice(0, MOST_ROWS).map(({ source, column, mean, size, max, count }) => {
          const of = sources[source]!;
          const feature = of.indices[column]!;
          const name = of.name(column);
          const hue = hueOf(source, feature);
          const refused = full && hue === undefined;
          return (
            <tr key={`${source} ${feature}`} class={hue === undefined ? "" : `sk-hue-${hue}`}>
              <td>
                <Button
                  class={`sk-dot${hue === undefined ? " sk-hollow" : ""}`}
                  aria-pressed={hue !== undefined}
                  aria-disabled={refused}
                  aria-label={`Colour by ${name}`}
                  title={refused ? "Three features at most: unpin one first" : `Colour by ${name}`}
                  onClick={() => refused || onPin(source, feature)}
                />
              </td>
              <td title={`${name}\n${of.evidence(column)}`}>
                <div class={`sk-label${unsure(of, column) ? " sk-dim" : ""}`}>
                  {name} <small>{feature.toLocaleString("en")}</small>
                </div>
              </td>
              {several && <td class="sk-dim sk-label">{of.site}</td>}
              <td class="sk-bar-cell">
                <span style={{ width: `${(100 * size) / most}%` }} />
              </td>
              <td class="sk-figure">{figure(mean)}</td>
              {span && (
                <td class="sk-figure sk-dim">
                  {figure(max)}, {count}
                </td>
              )}
            </tr>
          );
        })}
      </tbody>
      {firing.length > MOST_ROWS && (
        <caption>and {(firing.length - MOST_ROWS).toLocaleString("en")} weaker ones</caption>
      )}
    </table>
  );
}

/** A label that there is not, or that fits badly. */
export function unsure(of: Features, column: number): boolean {
  return !of.labels[column] || of.scores[column]! < SURE;
}

/** An activation as readers write it: 7.9, −0.02. */
export function figure(value: number): string {
  return String(Number(value.toPrecision(2))).replace("-", "−");
}
