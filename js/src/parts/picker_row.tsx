import { isKnown, type PickerFeatures } from "../host/picker_features";
import { figure, unsure } from "./firing_list";

export interface Column {
  name: string;
  title: string;
  /** The figure of a feature; null for the search's own. */
  of: Float32Array | null;
  write: (value: number) => string;
}

/** The figures that are known of any feature. */
export function columnsOf(
  features: PickerFeatures,
  answer: { value: string; title: string } | null,
): Column[] {
  const columns: Column[] = [
    {
      name: "density",
      title: "Share of the tokens, of the texts it was measured on, at which it is active",
      of: features.densities,
      write: (share) => `${figure(100 * share)}%`,
    },
    {
      name: "score",
      title: "How well the label fits, in its source's own measure",
      of: features.scores,
      write: (score) => score.toFixed(2),
    },
    { name: "max", title: "Largest activation known", of: features.maxima, write: figure },
  ];
  const known = columns.filter(({ of }) => of && isKnown(of));
  if (!answer) return known;
  return [{ name: answer.value, title: answer.title, of: null, write: figure }, ...known];
}

/** The figures of a feature as they are written, a column each; a dash for what is not known. */
function written(columns: Column[], values: Map<number, number> | null, index: number): string[] {
  return columns.map(({ of, write }) => {
    const value = (of ? of[index] : values?.get(index)) ?? Number.NaN;
    return Number.isNaN(value) ? "–" : write(value);
  });
}

/** What stands beside a feature's label, in words. */
export function described(
  columns: Column[],
  values: Map<number, number> | null,
  index: number,
): string {
  const figures = written(columns, values, index).map((text, k) => `${columns[k]!.name} ${text}`);
  return [`feature ${index}`, ...figures].join(", ");
}

interface Props {
  features: PickerFeatures;
  columns: Column[];
  index: number;
  values: Map<number, number> | null;
  chosen: boolean;
}

/** One feature: its number, its label, its figures. */
export function Cells({ features, columns, index, values, chosen }: Props) {
  return (
    <>
      <span class="sk-id" aria-hidden="true">
        {chosen ? "✓ " : ""}
        {index.toLocaleString("en")}
      </span>
      <span
        class={`sk-label${unsure(features, index) ? " sk-dim" : ""}`}
        title={`${features.name(index)}\n${features.evidence(index)}`}
      >
        {features.name(index)}
      </span>
      {written(columns, values, index).map((text, k) => (
        <span key={columns[k]!.name} aria-hidden="true">
          {text}
        </span>
      ))}
    </>
  );
}
