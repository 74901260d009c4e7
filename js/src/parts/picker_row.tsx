import type { PickerFeatures } from "../host/picker_features";
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
  const known = columns.filter(({ of }) => of?.some((value) => !Number.isNaN(value)));
  if (!answer) return known;
  return [{ name: answer.value, title: answer.title, of: null, write: figure }, ...known];
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
      <span class="sk-id">
        <span aria-hidden="true">{chosen ? "✓" : ""}</span> {index.toLocaleString("en")}
      </span>
      <span
        class={`sk-label${unsure(features, index) ? " sk-dim" : ""}`}
        title={`${features.name(index)}\n${features.evidence(index)}`}
      >
        {features.name(index)}
      </span>
      {columns.map(({ name, of, write }) => {
        const value = (of ? of[index] : values?.get(index)) ?? Number.NaN;
        return <span key={name}>{Number.isNaN(value) ? "–" : write(value)}</span>;
      })}
    </>
  );
}
