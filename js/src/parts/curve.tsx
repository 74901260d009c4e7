import { figure } from "./firing_list";

interface Props {
  name: string;
  /** What its numbers are. */
  unit: string;
  x: number[];
  /** A number for each x; null where it is not known. */
  y: (number | null)[];
  chosen: number | null;
  onChoose: (place: number) => void;
  hue: number | null;
}

const WIDTH = 320;
const HEIGHT = 96;
const MARGIN = { left: 40, right: 10, top: 8, bottom: 8 };

/** One figure by strength. Its points can be clicked; who has no pointer chooses in the list of texts. */
export function Curve({ name, unit, x, y, chosen, onChoose, hue }: Props) {
  const known = y.filter((value): value is number => value !== null && Number.isFinite(value));
  if (known.length === 0) return null;
  const [low, high] = [Math.min(0, ...known), Math.max(...known)];
  const [first, last] = [Math.min(...x), Math.max(...x)];
  const across = (value: number) =>
    MARGIN.left + ((WIDTH - MARGIN.left - MARGIN.right) * (value - first)) / (last - first || 1);
  const up = (value: number) =>
    HEIGHT -
    MARGIN.bottom -
    ((HEIGHT - MARGIN.top - MARGIN.bottom) * (value - low)) / (high - low || 1);
  const points = x.flatMap((strength, place) => {
    const value = y[place];
    return value == null || !Number.isFinite(value)
      ? []
      : [{ place, strength, value, left: across(strength), top: up(value) }];
  });
  const spoken = points.map(({ strength, value }) => `${figure(value)} at ${figure(strength)}`);
  return (
    <figure class={hue === null ? "sk-curve" : `sk-curve sk-hue-${hue}`}>
      <figcaption>
        {name} <small>{unit}</small>
      </figcaption>
      <svg
        role="img"
        aria-label={`${name}: ${spoken.join(", ")}`}
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      >
        <line
          class="sk-axis"
          x1={MARGIN.left}
          x2={WIDTH - MARGIN.right}
          y1={up(low)}
          y2={up(low)}
        />
        {high > low && (
          <text x={MARGIN.left - 6} y={up(high) + 4} text-anchor="end">
            {figure(high)}
          </text>
        )}
        <text x={MARGIN.left - 6} y={up(low) + 4} text-anchor="end">
          {figure(low)}
        </text>
        {chosen !== null && (
          <line
            class="sk-chosen-line"
            x1={across(x[chosen]!)}
            x2={across(x[chosen]!)}
            y1={MARGIN.top}
            y2={HEIGHT - MARGIN.bottom}
          />
        )}
        <polyline points={points.map(({ left, top }) => `${left},${top}`).join(" ")} />
        {points.map(({ place, strength, value, left, top }) => (
          // biome-ignore lint/a11y/noStaticElementInteractions: the list of texts does the same for keys.
          <g key={place} onClick={() => onChoose(place)}>
            <circle class="sk-target" cx={left} cy={top} r={12} />
            <circle cx={left} cy={top} r={place === chosen ? 5 : 3} />
            <title>
              {figure(value)} at strength {figure(strength)}
            </title>
          </g>
        ))}
      </svg>
    </figure>
  );
}
