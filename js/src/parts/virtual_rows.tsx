import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { OWN_KEYS } from "./focus";

interface Props {
  name: string;
  id: string;
  count: number;
  /** The row that the keyboard is on. */
  active: number;
  onActive: (row: number) => void;
  chosen: (row: number) => boolean;
  onChoose: (row: number) => void;
  /** A row's content, by whose text it is called: what is beside its name is to be hidden from that. */
  row: (row: number) => ComponentChildren;
  /** What is beside its name, in words. */
  description: (row: number) => string;
}

export const ROW_PX = 32;
/** Rows drawn beyond both edges, so that scrolling meets no gap. */
const BEYOND = 8;

/** A list of any length of which several can be chosen; only the rows in sight are there. */
export function VirtualRows(props: Props) {
  const { name, id, count, active, onActive, chosen, onChoose, row, description } = props;
  const box = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState({ top: 0, height: 10 * ROW_PX });
  const look = () => {
    const { scrollTop: top, clientHeight: height } = box.current!;
    setSeen((before) =>
      before.top === top && before.height === height ? before : { top, height },
    );
  };
  useLayoutEffect(() => {
    const observer = new ResizeObserver(look);
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  const walk = (to: number) => {
    const next = Math.max(0, Math.min(count - 1, to));
    const { scrollTop, clientHeight } = box.current!;
    const [first, end] = [next * ROW_PX, (next + 1) * ROW_PX];
    if (first < scrollTop) box.current!.scrollTop = first;
    else if (end > scrollTop + clientHeight) box.current!.scrollTop = end - clientHeight;
    look();
    onActive(next);
  };
  const page = Math.max(1, Math.floor(seen.height / ROW_PX) - 1);
  const first = Math.max(0, Math.floor(seen.top / ROW_PX) - BEYOND);
  const end = Math.min(count, Math.ceil((seen.top + seen.height) / ROW_PX) + BEYOND);
  return (
    <div
      {...OWN_KEYS}
      ref={box}
      class="sk-rows"
      role="listbox"
      aria-label={name}
      aria-multiselectable="true"
      aria-activedescendant={active >= first && active < end ? `${id}-${active}` : undefined}
      tabIndex={0}
      onScroll={look}
      onKeyDown={(event) => {
        const to = {
          ArrowDown: active + 1,
          ArrowUp: active - 1,
          PageDown: active + page,
          PageUp: active - page,
          Home: 0,
          End: count - 1,
        }[event.key];
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (to !== undefined) walk(to);
        else if ((event.key === "Enter" || event.key === " ") && active < count) onChoose(active);
        else return;
        event.preventDefault();
      }}
    >
      <div role="none" style={{ height: `${count * ROW_PX}px` }}>
        {Array.from({ length: Math.max(0, end - first) }, (_, k) => first + k).map((at) => (
          // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus, and names the active option.
          // biome-ignore lint/a11y/useKeyWithClickEvents: the list takes the keys.
          <div
            key={at}
            id={`${id}-${at}`}
            class={`sk-row${at === active ? " sk-active" : ""}`}
            role="option"
            aria-selected={chosen(at)}
            aria-description={description(at)}
            aria-posinset={at + 1}
            aria-setsize={count}
            style={{ top: `${at * ROW_PX}px`, height: `${ROW_PX}px` }}
            onClick={() => {
              onActive(at);
              onChoose(at);
            }}
          >
            {row(at)}
          </div>
        ))}
      </div>
    </div>
  );
}
