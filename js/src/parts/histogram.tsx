interface Props {
  counts: number[];
  /** Where each bin begins. */
  starts: number[];
  /** Of what it is. */
  name: string;
  write: (value: number) => string;
}

const BAR = 10;
const HEIGHT = 48;

/** Counts in bins, as bars of logarithmic height: one token in a million is seen beside the million. */
export function Histogram({ counts, starts, name, write }: Props) {
  const first = counts.findIndex((count) => count > 0);
  const last = counts.findLastIndex((count) => count > 0);
  if (first < 0) return <p class="sk-dim">{name}: none</p>;
  const highest = Math.log1p(Math.max(...counts));
  const shown = counts.slice(first, last + 1);
  const width = BAR * shown.length;
  const ends = `from ${write(starts[first]!)} to ${write(starts[last]! * Math.SQRT2)}`;
  return (
    <figure class="sk-histogram">
      <svg
        role="img"
        aria-label={`${name}, ${ends}`}
        viewBox={`0 0 ${width} ${HEIGHT}`}
        style={{ width: `min(100%, ${2 * width}px)` }}
        preserveAspectRatio="none"
      >
        {shown.map((count, k) => {
          const height = (HEIGHT * Math.log1p(count)) / highest;
          return (
            <rect key={k} x={k * BAR} y={HEIGHT - height} width={BAR - 1} height={height}>
              <title>
                {count.toLocaleString("en")} from {write(starts[first + k]!)}
              </title>
            </rect>
          );
        })}
      </svg>
      <figcaption>
        {name} {ends}; heights are logarithmic
      </figcaption>
    </figure>
  );
}
