import type { RefObject } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Slider } from "../host/model";
import type { Shown } from "../host/shown";
import { type Pointed, pointedAt } from "./card";
import { OWN_KEYS } from "./focus";
import { TokenCard } from "./token_card";
import { type Strip, type StripContent, tokenStrip } from "./token_strip";

interface Props {
  name: string;
  text: Shown;
  against: StripContent["against"];
  running: boolean;
  invitation: string;
  /** How many tokens there may be: room is kept for them, so that nothing below moves. */
  length: number;
  sliders: Slider[];
  column: number;
  scale: number;
  meta: string[];
  root: RefObject<HTMLElement | null>;
}

const LINE_PX = 27;
const CHARACTER_PX = 7.3;
const CHARACTERS_A_TOKEN = 5.5;
const MOST_LINES = 12;

export function TextPane(props: Props) {
  const { name, text, against, running, invitation, length, sliders, column, scale, meta } = props;
  const id = useId();
  const prose = useRef<HTMLDivElement>(null);
  const body = useRef<HTMLSpanElement>(null);
  const strip = useRef<Strip>(null);
  const [pointed, setPointed] = useState<Pointed | null>(null);

  useLayoutEffect(() => {
    const own = new AbortController();
    strip.current = tokenStrip(body.current!, own.signal, (index, element) => {
      body.current!.querySelector("[aria-describedby]")?.removeAttribute("aria-describedby");
      if (index === null || !element) return setPointed(null);
      element.setAttribute("aria-describedby", id);
      setPointed(pointedAt(props.root.current!, element, index));
    });
    return () => own.abort();
  }, []);

  useLayoutEffect(() => {
    const { prompt: _, ...content } = text;
    strip.current!.show({ ...content, running, against, column, scale });
    const box = prose.current!;
    const last = body.current!.querySelector<HTMLElement>("[role=list] > :last-child");
    if (running && last) box.scrollTop = last.offsetTop + last.offsetHeight - box.clientHeight;
    // A text that was taller than expected keeps its room: the next one must not make the panel jump.
    if (box.scrollHeight > box.clientHeight) box.style.flexBasis = `${box.scrollHeight}px`;
  });

  useLayoutEffect(() => {
    const box = prose.current!;
    let width = 0;
    const observer = new ResizeObserver(() => {
      if (box.clientWidth === width) return;
      width = box.clientWidth;
      const characters = text.prompt.length + CHARACTERS_A_TOKEN * length;
      const lines = Math.ceil((characters * CHARACTER_PX) / Math.max(1, width));
      box.style.flexBasis = `${Math.max(3, Math.min(lines, MOST_LINES)) * LINE_PX}px`;
    });
    observer.observe(box);
    return () => observer.disconnect();
  }, [length]);

  return (
    <section class="sk-pane" aria-label={name} aria-busy={running}>
      <h2>{name}</h2>
      <div class="sk-prose" ref={prose} {...(text.tokens.length ? {} : OWN_KEYS)}>
        <span class="sk-lead">{text.prompt}</span>
        <span ref={body} />
        {!running && text.tokens.length === 0 && <span class="sk-dim">{invitation}</span>}
      </div>
      <div class="sk-meta">
        {meta.map((figure) => (
          <span key={figure}>{figure}</span>
        ))}
      </div>
      {pointed && pointed.index < text.tokens.length && (
        <TokenCard
          id={id}
          at={pointed}
          token={text.tokens[pointed.index] ?? ""}
          other={against?.tokens[pointed.index]}
          row={text.coefficients[pointed.index]}
          sliders={sliders}
        />
      )}
    </section>
  );
}
