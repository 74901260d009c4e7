import type { Slider as SliderState } from "../host/model";
import { OWN_KEYS } from "./focus";
import { NumberField } from "./number_field";
import { Slider } from "./slider";

interface Props {
  slider: SliderState;
  strength: number;
  hue: number;
  /** Its coefficient tints the text. */
  tints: boolean;
  /** There is another one that could. */
  choice: boolean;
  onTint: () => void;
  onMove: (strength: number) => void;
}

/** One edit: its hue, its name, its slider, its strength. */
export function EditRow({ slider, strength, hue, tints, choice, onTint, onMove }: Props) {
  const { label, detail, limit } = slider;
  const dot = `sk-dot${tints ? "" : " sk-hollow"}`;
  return (
    <div class={`sk-edit sk-hue-${hue}`}>
      {choice ? (
        <button
          {...OWN_KEYS}
          type="button"
          class={dot}
          aria-pressed={tints}
          aria-label={`Tint by ${label}`}
          title={tints ? `The tint shows ${label}` : `Tint the text by ${label}`}
          onClick={onTint}
        />
      ) : (
        <span class={dot} />
      )}
      <span class="sk-name" title={`${label} · ${detail}`}>
        {label}
        <small>{detail}</small>
      </span>
      <Slider label={label} strength={strength} limit={limit} onMove={onMove} />
      <NumberField label={label} strength={strength} limit={limit} onMove={onMove} />
      <span class="sk-unit" title="1 adds the vector once">
        × vector
      </span>
    </div>
  );
}
