import { useRef } from "preact/hooks";
import { OWN_KEYS } from "./focus";
import { format, moved, toPosition, toStrength } from "./strength";

interface Props {
  label: string;
  strength: number;
  /** The strength in the middle, which leaves all as it was. */
  identity: number;
  /** How far it goes to either side. */
  limit: number;
  unit: string;
  disabled: boolean;
  onMove: (strength: number) => void;
}

/**
 * A slider over strengths, logarithmic through zero.
 *
 * The native range input carries name, role, value and focus in plain strengths; what is seen is
 * drawn beneath it, and pointer and keys are handled here, because a native range is linear.
 */
export function Slider({ label, strength, identity, limit, unit, disabled, onMove }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const dragging = useRef(false);

  const follow = (event: PointerEvent) => {
    const { left, width } = input.current!.getBoundingClientRect();
    moveTo(toStrength(((event.clientX - left) / width) * 2 - 1, limit));
  };
  const moveTo = (offset: number) => {
    const next = Number((identity + offset).toPrecision(12));
    if (next !== strength) onMove(next);
  };
  const percent = (position: number) => `${50 + 50 * position}%`;
  const at = toPosition(strength - identity, limit);
  return (
    <div class={`sk-slider${disabled ? " sk-off" : ""}`}>
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
        aria-valuetext={`${format(strength)} ${unit}`}
        title="Arrow and page keys move it; 0 or a double click brings it to rest"
        disabled={disabled}
        min={identity - limit}
        max={identity + limit}
        step="any"
        value={strength}
        onInput={(event) => onMove(Number(event.currentTarget.value))}
        onKeyDown={(event) => {
          if (event.ctrlKey || event.metaKey || event.altKey) return;
          const offset = moved(strength - identity, event.key, limit);
          if (offset === null) return;
          event.preventDefault();
          moveTo(offset);
        }}
        onPointerDown={(event) => {
          if (event.button !== 0 || disabled) return;
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
        onDblClick={() => moveTo(0)}
      />
    </div>
  );
}
