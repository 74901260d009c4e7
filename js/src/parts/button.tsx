import type { ComponentProps } from "preact";
import { OWN_KEYS } from "./focus";

/** A button that keeps its keys to itself. */
export function Button(props: ComponentProps<"button">) {
  return <button {...OWN_KEYS} type="button" {...props} />;
}
