import type { AnyModel } from "@anywidget/types";

/** Calls `fn` whenever the trait `key` changes, until `signal` aborts. */
export function watch<S extends object, K extends keyof S & string>(
  model: AnyModel<S>,
  key: K,
  signal: AbortSignal,
  fn: (value: S[K]) => void,
): void {
  const run = () => fn(model.get(key));
  model.on(`change:${key}`, run);
  // Without the callback, `off` would remove the listeners of other views too.
  signal.addEventListener("abort", () => model.off(`change:${key}`, run));
}
