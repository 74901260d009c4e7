import type { Measures, Stopped } from "../host/panel_state";

/** Repeats this much more of itself than the baseline does. */
const REPEATS = 0.2;
/** Less likely than the baseline by this much, in nats a token. */
const UNLIKELY = 1;

const STOPPED: Record<Stopped, string[]> = {
  end: [],
  length: [],
  cancelled: [],
  condition: [],
  overflow: ["stopped: the numbers of the model overflowed, use a smaller strength"],
};

/** What is wrong with a steered text, in words; mostly nothing. */
export function warnings(stopped: Stopped | null, measures: Measures | null): string[] {
  const found = stopped ? [...STOPPED[stopped]] : [];
  if (!measures) return found;
  const [repetition, usual] = measures.repetition;
  if ((repetition ?? 0) - (usual ?? 0) >= REPEATS) found.push("the text repeats itself");
  const [nats, baseline] = measures.nats;
  const excess = (nats ?? 0) - (baseline ?? 0);
  if (excess >= UNLIKELY) {
    found.push(`unlikely under the unsteered model (+${excess.toFixed(1)} nats a token)`);
  }
  return found;
}
