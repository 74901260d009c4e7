import type { ComponentProps } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { holdFocus, OWN_KEYS } from "./focus";

/** A button that keeps its keys to itself; one that goes while it has the focus leaves it to its widget. */
export function Button(props: ComponentProps<"button">) {
  const own = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => {
    const button = own.current!;
    return () => button.matches(":focus") && holdFocus(button.closest<HTMLElement>(".sk-root")!);
  }, []);
  return <button {...OWN_KEYS} type="button" {...props} ref={own} />;
}
