import { useLayoutEffect, useRef } from "preact/hooks";
import type { Shown } from "../host/shown";
import { OWN_KEYS } from "./focus";
import { type Strip, type StripContent, tokenStrip } from "./token_strip";

interface Props extends Omit<StripContent, "tokens" | "ghost" | "fading" | "values"> {
  text: Shown;
  /** Whose coefficient tints the tokens, by the edit's name. */
  tint: string | undefined;
  invitation: string;
  /** How many tokens there may be: room is kept for them, so that nothing below moves. */
  length: number;
  onPoint: (index: number | null, element: HTMLElement | null) => void;
  onPick: ((index: number) => void) | undefined;
}

const LINE_PX = 27;
const CHARACTER_PX = 7.3;
const CHARACTERS_A_TOKEN = 5.5;
const MOST_LINES = 12;

/** One text, with its prompt before it. */
export function Prose(props: Props) {
  const { text, tint, against, running, scale, picked, invitation, length } = props;
  const box = useRef<HTMLDivElement>(null);
  const body = useRef<HTMLSpanElement>(null);
  const strip = useRef<Strip>(null);
  const heard = useRef(props);
  heard.current = props;

  useLayoutEffect(() => {
    const own = new AbortController();
    strip.current = tokenStrip(body.current!, own.signal, {
      pointed: (index, element) => heard.current.onPoint(index, element),
      chosen: (first, last) => first === last && heard.current.onPick?.(first),
    });
    return () => own.abort();
  }, []);

  useLayoutEffect(() => {
    const { tokens, ghost, fading, coefficients } = text;
    const values = coefficients.map((row) => (tint === undefined ? null : (row[tint] ?? null)));
    strip.current!.show({ tokens, ghost, fading, values, running, against, scale, picked });
    const prose = box.current!;
    const last = body.current!.querySelector<HTMLElement>("[role=list] > :last-child");
    if (running && last) prose.scrollTop = last.offsetTop + last.offsetHeight - prose.clientHeight;
    makeRoom(prose);
  });

  useLayoutEffect(() => {
    const prose = box.current!;
    let width = 0;
    const observer = new ResizeObserver(() => {
      if (prose.clientWidth === width) return;
      width = prose.clientWidth;
      const characters = text.prompt.length + CHARACTERS_A_TOKEN * length;
      const lines = Math.ceil((characters * CHARACTER_PX) / Math.max(1, width));
      keepRoom(prose, Math.max(3, Math.min(lines, MOST_LINES)) * LINE_PX);
      makeRoom(prose);
    });
    observer.observe(prose);
    return () => observer.disconnect();
  }, [length]);

  return (
    <div class="sk-prose" ref={box} dir="auto" {...(text.tokens.length ? {} : OWN_KEYS)}>
      <span class="sk-lead">{text.prompt}</span>
      <span ref={body} />
      {!running && text.tokens.length === 0 && <span class="sk-dim">{invitation}</span>}
    </div>
  );
}

/** A text that is taller than expected keeps its room: the next one must not make the panel jump. */
function makeRoom(prose: HTMLElement): void {
  if (prose.scrollHeight > prose.clientHeight) keepRoom(prose, prose.scrollHeight);
}

function keepRoom(prose: HTMLElement, height: number): void {
  prose.style.setProperty("--room", `${height}px`);
}
