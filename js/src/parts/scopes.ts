import type { Comparison, Condition, Where } from "../host/document";

/** The choices of where an edit acts; `n` is the number of a new token, from 1. */
export const SCOPES = {
  every: "every token",
  prompt: "prompt only",
  generated: "new tokens only",
  last: "the prompt's last token",
  from: "new tokens from",
  first: "new tokens up to",
  system: "system messages",
  user: "user messages",
  assistant: "assistant messages",
} as const;
export type Scope = keyof typeof SCOPES;
export const CHAT: readonly Scope[] = ["system", "user", "assistant"];
export const COUNTED: readonly Scope[] = ["from", "first"];

const ROLE = (role: string) => ({ roles: [role] });
const FORMS: Record<Scope, (n: number) => Where> = {
  every: () => ({}),
  prompt: () => ({ generated: false }),
  generated: () => ({ prompt: false }),
  last: () => ({ prompt: false, generated: false, last_prompt: true }),
  from: (n) => ({ prompt: false, new_positions: [[n - 1, null]] }),
  first: (n) => ({ prompt: false, new_positions: [[null, n]] }),
  system: () => ROLE("system"),
  user: () => ROLE("user"),
  assistant: () => ROLE("assistant"),
};

/** The choice that a scope is, and its number; null for one that was made in Python. */
export function scopeOf(where: Where = {}): { scope: Scope; n: number } | null {
  const { special, decay, ...rest } = where;
  const [start, stop] = rest.new_positions?.[0] ?? [null, null];
  const n = start !== null ? start + 1 : (stop ?? 1);
  const said = JSON.stringify(rest);
  const scope = (Object.keys(FORMS) as Scope[]).find(
    (one) => JSON.stringify(FORMS[one](n)) === said,
  );
  return scope ? { scope, n } : null;
}

/** The tokens of a choice; whether special ones are among them, and the fading, stay. */
export function withScope(where: Where = {}, scope: Scope, n: number): Where {
  const { special, decay } = where;
  return {
    ...FORMS[scope](n),
    ...(special === undefined ? {} : { special }),
    ...(decay === undefined ? {} : { decay }),
  };
}

/** A scope in a few words; nothing for every token. */
export function scopeInWords(where: Where | undefined): string {
  const found = scopeOf(where);
  if (!found) return "at chosen tokens";
  if (found.scope === "every") return "";
  return SCOPES[found.scope] + (COUNTED.includes(found.scope) ? ` ${found.n}` : "");
}

/** Over which tokens a condition is asked. */
export const SPANS = {
  here: "at this token",
  in_prompt: "anywhere in the prompt",
  so_far: "anywhere so far",
} as const;
export type Span = keyof typeof SPANS;

/** A condition that the page can edit; null for one that was combined in Python. */
export function comparisonOf(
  when: Condition | undefined,
): { comparison: Comparison; span: Span } | null {
  if (!when) return null;
  if ("threshold" in when) return { comparison: when, span: "here" };
  const span = "in_prompt" in when ? "in_prompt" : "so_far" in when ? "so_far" : null;
  const inner = span && (when as Record<string, Condition>)[span];
  return inner && "threshold" in inner ? { comparison: inner, span } : null;
}

export function conditionOf(comparison: Comparison, span: Span): Condition {
  if (span === "here") return comparison;
  return span === "in_prompt" ? { in_prompt: comparison } : { so_far: comparison };
}
