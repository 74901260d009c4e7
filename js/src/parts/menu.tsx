import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Button } from "./button";

interface Props {
  name: string;
  title: string;
  children: (close: () => void) => ComponentChildren;
}

/** A button that shows a few things below itself, until Escape, or a click elsewhere. */
export function Menu({ name, title, children }: Props) {
  const root = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    if (!open) return;
    const own = new AbortController();
    const elsewhere = (event: Event) => {
      // The path, because a host may hold the widget in a shadow root.
      if (!event.composedPath().includes(root.current!)) setOpen(false);
    };
    document.addEventListener("pointerdown", elsewhere, { signal: own.signal });
    return () => own.abort();
  }, [open]);
  const close = () => {
    setOpen(false);
    root.current!.querySelector("button")!.focus();
  };
  return (
    <div
      class="sk-menu"
      role="group"
      aria-label={name}
      ref={root}
      onKeyDown={(event) => {
        if (event.key === "Escape" && open) close();
      }}
    >
      <Button title={title} aria-expanded={open} onClick={() => setOpen(!open)}>
        {name}
      </Button>
      {open && <div class="sk-menu-items">{children(close)}</div>}
    </div>
  );
}
