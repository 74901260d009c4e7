import { OWN_KEYS } from "./focus";

interface Props {
  name: string;
  title: string;
  checked: boolean;
  onCheck: (checked: boolean) => void;
}

/** A choice of yes or no. */
export function Check({ name, title, checked, onCheck }: Props) {
  return (
    <label title={title}>
      <input
        {...OWN_KEYS}
        type="checkbox"
        checked={checked}
        onChange={(event) => onCheck(event.currentTarget.checked)}
      />
      {name}
    </label>
  );
}
