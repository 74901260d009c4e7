import type { AnyModel } from "@anywidget/types";
import { vi } from "vitest";

type Listener = (...args: unknown[]) => void;
type Hook = (props: object) => undefined | (() => void);

/** A model without a kernel: it keeps traits, notes what is sent, and counts its listeners. */
export function anyModel<State extends object, Sent = Record<string, unknown>>(
  traits: State,
  kernel: { status: string } | null = null,
) {
  const listeners = new Map<string, Set<Listener>>();
  const emit = (event: string, ...args: unknown[]) => {
    for (const listener of listeners.get(event) ?? []) listener(...args);
  };
  const sent: Sent[] = [];
  const model = {
    get: (key: keyof State) => traits[key],
    set: (key: keyof State & string, value: never) => {
      traits[key] = value;
      emit(`change:${key}`);
    },
    save_changes: vi.fn(),
    send: (message: Sent) => void sent.push(message),
    on: (event: string, listener: Listener) => {
      listeners.set(event, (listeners.get(event) ?? new Set()).add(listener));
    },
    off: (event: string, listener: Listener) => void listeners.get(event)?.delete(listener),
    widget_manager: { kernel },
  };
  return {
    model: model as unknown as AnyModel<State>,
    sent,
    emit,
    get listeners() {
      return [...listeners.values()].reduce((sum, set) => sum + set.size, 0);
    },
  };
}

/** Initialises and renders as anywidget does; `hosted` says whether it passes signals. */
export function open(module: unknown, model: unknown, hosted = true, host?: object) {
  const widget = (module as () => Record<"initialize" | "render", Hook>)();
  const controllers = [new AbortController(), new AbortController()];
  const [shared, view] = controllers.map((c) => (hosted ? c.signal : undefined));
  const el = document.body.appendChild(document.createElement("div"));
  const cleanups = [
    widget.initialize({ model, signal: shared }),
    widget.render({ model, el, signal: view, host }),
  ];
  const close = () => {
    for (const controller of controllers) controller.abort();
    for (const cleanup of cleanups) cleanup?.();
  };
  return { el, widget, close };
}

/** What happy-dom lacks. */
export function stubLayout(): void {
  document.body.replaceChildren();
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
}

/** Enough for effects and timers of a view. */
export const settled = () => new Promise((resolve) => setTimeout(resolve, 150));
