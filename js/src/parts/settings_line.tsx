import { OWN_KEYS } from "./focus";

interface FieldProps {
  name: string;
  title: string;
  value: number;
  min: number;
  step: number;
  onCommit: (value: number) => void;
}

function Field({ name, title, value, min, step, onCommit }: FieldProps) {
  return (
    <label class="sk-setting" title={title}>
      {name}
      <input
        {...OWN_KEYS}
        type="number"
        min={min}
        step={step}
        value={value}
        style={{ width: `${Math.max(2, String(value).length) + 1.5}ch` }}
        onChange={(event) => {
          const field = event.currentTarget;
          if (Number.isFinite(field.valueAsNumber) && field.validity.rangeUnderflow === false) {
            onCommit(step === 1 ? Math.round(field.valueAsNumber) : field.valueAsNumber);
          } else field.value = String(value);
        }}
      />
    </label>
  );
}

interface Props {
  temperature: number;
  seed: number;
  length: number;
  onCommit: (name: "temperature" | "seed" | "max_new_tokens", value: number) => void;
}

/** What else a text depends on, in one quiet line. */
export function SettingsLine({ temperature, seed, length, onCommit }: Props) {
  return (
    <div class="sk-settings">
      <Field
        name="temperature"
        title="0 always takes the likeliest token; higher draws more freely"
        value={temperature}
        min={0}
        step={0.1}
        onCommit={(value) => onCommit("temperature", value)}
      />
      <Field
        name="seed"
        title="The same seed draws the same text again"
        value={seed}
        min={0}
        step={1}
        onCommit={(value) => onCommit("seed", value)}
      />
      <Field
        name="length"
        title="At most this many new tokens"
        value={length}
        min={1}
        step={1}
        onCommit={(value) => onCommit("max_new_tokens", value)}
      />
    </div>
  );
}
