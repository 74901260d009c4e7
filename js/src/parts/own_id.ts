import { useState } from "preact/hooks";

/** An id that no other widget of the page has: Preact's own `useId` counts from the same start in each. */
export function useOwnId(): string {
  return useState(() => `sk-${Math.random().toString(36).slice(2)}`)[0];
}
