import { useRef } from "preact/hooks";
import { OWN_KEYS } from "./focus";
import { format, moved, toPosition, toStrength } from "./strength";

interface Props {
  label: string;
  strength: number;
  limit: number;
  onMove: (strength: number) => void;
}

/**
 * A slider over strengths, logarithmic through zero.
 *
 * The native range input carries name, role, value and focus in plain strengths; what is seen is
 * drawn beneath it, and pointer and keys are handled here, because a native range is linear.
 */
export function Slider({ label, strength, limit, onMove }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const dragging = useRef(false);

  const follow = (event: PointerEvent) => {
    const { left, width } = input.current!.getBoundingClientRect();
    const next = toStrength(((event.clientX - left) / width) * 2 - 1, limit);
    if (next !== strength) onMove(next);
  };
  const percent = (position: number) => `${50 + 50 * position}%`;
  const at = toPosition(strength, limit);
  return (
    <div class="sk-slider">
      <div class="sk-track" />
      <div
        class="sk-fill"
        style={{ left: percent(Math.min(0, at)), right: percent(-Math.max(0, at)) }}
      />
      <div class="sk-notch" />
      <div class="sk-knob" style={{ left: percent(at) }} />
      <input
        {...OWN_KEYS}
        ref={input}
        type="range"
        aria-label={label}
        aria-valuetext={format(strength)}
        title="Arrow and page keys move it; 0 or a double click sets it to zero"
        min={-limit}
        max={limit}
        step="any"
        value={strength}
        onInput={(event) => onMove(Number(event.currentTarget.value))}
        onKeyDown={(event) => {
          if (event.ctrlKey || event.metaKey || event.altKey) return;
          const next = moved(strength, event.key, limit);
          if (next === null) return;
          event.preventDefault();
          if (next !== strength) onMove(next);
        }}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.preventDefault();
          event.currentTarget.focus({ preventScroll: true });
          event.currentTarget.setPointerCapture(event.pointerId);
          dragging.current = true;
          follow(event);
        }}
        onPointerMove={(event) => dragging.current && follow(event)}
        onPointerUp={() => {
          dragging.current = false;
        }}
        onPointerCancel={() => {
          dragging.current = false;
        }}
        // Keeps the native thumb from moving by its own, linear, scale.
        onMouseDown={(event) => event.preventDefault()}
        onTouchStart={(event) => event.preventDefault()}
        onDblClick={() => onMove(0)}
      />
    </div>
  );
}
