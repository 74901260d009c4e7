import type { Settings } from "../host/document";
import { DraftInput } from "./draft_input";
import { parseSeeds, writeSeeds } from "./seeds";

interface FieldProps {
  name: string;
  title: string;
  value: number;
  min: number;
  max?: number;
  step: number;
  onCommit: (value: number) => void;
}

function Field({ name, title, value, min, max, step, onCommit }: FieldProps) {
  return (
    <label class="sk-setting" title={title}>
      {name}
      <DraftInput
        type="number"
        min={min}
        max={max}
        step={step}
        value={value}
        style={{ width: `${Math.max(2, String(value).length) + 1.5}ch` }}
        onCommit={({ valueAsNumber: typed, validity }) => {
          if (!Number.isFinite(typed) || validity.rangeUnderflow || validity.rangeOverflow) return;
          onCommit(step === 1 ? Math.round(typed) : typed);
        }}
      />
    </label>
  );
}

interface Props {
  settings: Settings;
  onCommit: (changes: Partial<Settings>) => void;
}

/** What else a text depends on, in one quiet line. */
export function SettingsLine({ settings, onCommit }: Props) {
  const { temperature, top_p, seeds, max_new_tokens } = settings;
  const written = writeSeeds(seeds);
  return (
    <div class="sk-settings">
      <Field
        name="temperature"
        title="0 always takes the likeliest token; higher draws more freely"
        value={temperature}
        min={0}
        step={0.1}
        onCommit={(value) => onCommit({ temperature: value })}
      />
      <Field
        name="top-p"
        title="Draws from the likeliest tokens that have this share of the probability; 1 from all"
        value={top_p}
        min={0.01}
        max={1}
        step={0.05}
        onCommit={(value) => onCommit({ top_p: value })}
      />
      <label
        class="sk-setting"
        title="The same seed draws the same text again. Several, as 0, 1, 2 or 0-3, draw several"
      >
        seed
        <DraftInput
          type="text"
          inputMode="numeric"
          value={written}
          style={{ width: `${Math.max(2, written.length) + 1.5}ch` }}
          onCommit={({ value }) => {
            const found = parseSeeds(value);
            if (found) onCommit({ seeds: found });
          }}
        />
      </label>
      <Field
        name="length"
        title="At most this many new tokens"
        value={max_new_tokens}
        min={1}
        step={1}
        onCommit={(value) => onCommit({ max_new_tokens: value })}
      />
    </div>
  );
}
