// A slider's scale: logarithmic through zero, so that small strengths are fine and large ones in reach.

/** The share of the limit around zero that is nearly linear. */
const LINEAR = 0.1;
/** Positions this close to the middle are zero. */
const NOTCH = 0.025;

/** From -1 at -limit to 1 at limit. Strengths beyond the limit stay at the ends. */
export function toPosition(strength: number, limit: number): number {
  const position = Math.log1p(Math.abs(strength) / (LINEAR * limit)) / Math.log1p(1 / LINEAR);
  return Math.sign(strength) * Math.min(1, position);
}

export function toStrength(position: number, limit: number): number {
  const p = Math.min(1, Math.abs(position));
  if (p < NOTCH) return 0;
  const strength = LINEAR * limit * Math.expm1(p * Math.log1p(1 / LINEAR));
  return Math.sign(position) * snapped(strength, stepAt(strength, limit));
}

/** Steps are fine near zero and coarse far out. */
export function stepAt(strength: number, limit: number): number {
  const share = Math.abs(strength) / limit;
  return (limit / 100) * (share < 0.2 ? 1 : share < 0.5 ? 2 : 5);
}

/** Where a key takes a slider; null if the key is none of the slider's. */
export function moved(strength: number, key: string, limit: number): number | null {
  switch (key) {
    case "ArrowRight":
    case "ArrowUp":
      return stepped(strength, 1, limit);
    case "ArrowLeft":
    case "ArrowDown":
      return stepped(strength, -1, limit);
    case "PageUp":
      return stepped(strength, 10, limit);
    case "PageDown":
      return stepped(strength, -10, limit);
    case "Home":
      return -limit;
    case "End":
      return limit;
    case "0":
      return 0;
    default:
      return null;
  }
}

function stepped(strength: number, steps: number, limit: number): number {
  // The step of the side that is moved to, so that up and down pass through the same values.
  const inward = strength * steps < 0;
  const fine = stepAt(0, limit);
  const step = stepAt(inward ? Math.max(0, Math.abs(strength) - fine) : strength, limit);
  const next = snapped(strength + steps * step, step);
  const bound = Math.max(limit, Math.abs(strength));
  return Math.max(-bound, Math.min(bound, next));
}

function snapped(strength: number, step: number): number {
  // toPrecision takes off the noise of binary fractions: 0.30000000000000004 is 0.3.
  return Number((Math.round(strength / step) * step).toPrecision(12)) || 0;
}

/** With its sign, as readers write it: +1.4, 0, −2. */
export function format(strength: number): string {
  const digits = String(Number(Math.abs(strength).toPrecision(4)));
  if (strength === 0) return "0";
  return (strength < 0 ? "\u2212" : "+") + digits;
}

/** What was typed as a finite number; null if it is none. Takes a minus sign or a hyphen, a point or a comma. */
export function parse(text: string): number | null {
  const plain = text
    .trim()
    .replace(/^[\u2212\u2013]/, "-")
    .replace(",", ".");
  const typed = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : Infinity;
  return Number.isFinite(typed) ? typed : null;
}
