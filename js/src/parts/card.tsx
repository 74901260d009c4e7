import type { ComponentChildren, RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { useOwnId } from "./own_id";

/** The item that the pointer or the keyboard is on, and where it stands in the widget. */
export interface Pointed {
  index: number;
  left: number;
  top: number;
  bottom: number;
  room: number;
}

interface Props {
  id: string;
  at: Pointed;
  onClose: () => void;
  children: ComponentChildren;
}

const WIDTH = 220;

export function pointedAt(root: HTMLElement, element: Element, index: number): Pointed {
  const frame = root.getBoundingClientRect();
  const box = element.getBoundingClientRect();
  // A card's place is counted from within the border.
  const x = frame.left + root.clientLeft;
  const y = frame.top + root.clientTop - root.scrollTop;
  return {
    index,
    left: box.left - x,
    top: box.top - y,
    bottom: box.bottom - y,
    room: root.clientWidth,
  };
}

/** A card that floats beside what it speaks of, until the pointer leaves both or Escape is pressed, wherever the keys go. */
export function Card({ id, at, onClose, children }: Props) {
  useLayoutEffect(() => {
    const own = new AbortController();
    const press = ({ key }: KeyboardEvent) => {
      if (key === "Escape") onClose();
    };
    document.addEventListener("keydown", press, { capture: true, signal: own.signal });
    return () => own.abort();
  }, []);
  const left = `${Math.max(0, Math.min(at.left, at.room - WIDTH))}px`;
  const above = at.top > 120;
  const place = above
    ? { left, top: `${at.top - 6}px`, transform: "translateY(-100%)" }
    : { left, top: `${at.bottom + 6}px` };
  return (
    <div
      class="sk-card"
      id={id}
      role="tooltip"
      style={{ width: `${WIDTH}px`, ...place }}
      onPointerLeave={onClose}
    >
      {children}
    </div>
  );
}

/** The item that a card speaks of: `point` is told, and the item says by which card it is described. */
export function usePointed(root: RefObject<HTMLElement | null>) {
  const id = useOwnId();
  const [pointed, setPointed] = useState<Pointed | null>(null);
  const point = (index: number | null, element: HTMLElement | null) => {
    root.current!.querySelector(`[aria-describedby=${id}]`)?.removeAttribute("aria-describedby");
    element?.setAttribute("aria-describedby", id);
    setPointed(index === null || !element ? null : pointedAt(root.current!, element, index));
  };
  return { id, pointed, point, close: () => point(null, null) };
}
