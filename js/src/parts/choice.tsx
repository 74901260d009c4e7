import type { ComponentProps } from "preact";
import { OWN_KEYS } from "./focus";

interface Props<Value extends string> extends Omit<ComponentProps<"select">, "value" | "onChange"> {
  value: Value | undefined;
  /** What there is to choose, and how it is called; some may be refused. */
  options: readonly (readonly [value: Value, name: string, refused?: boolean])[];
  onChoose: (value: Value) => void;
}

/** One of several, in a list that opens. */
export function Choice<Value extends string>({ options, onChoose, ...rest }: Props<Value>) {
  return (
    <select
      {...OWN_KEYS}
      {...(rest as ComponentProps<"select">)}
      onChange={(event) => onChoose(event.currentTarget.value as Value)}
    >
      {options.map(([value, name, refused]) => (
        <option key={value} value={value} disabled={refused}>
          {name}
        </option>
      ))}
    </select>
  );
}
