import type { AnyModel, AnyWidget, Host } from "@anywidget/types";
import { type ComponentType, render } from "preact";
import { useLayoutEffect, useReducer } from "preact/hooks";
import { Mismatch } from "../parts/notices";
import { withSignal } from "./lifecycle";
import { watch } from "./model";
import { PROTOCOL } from "./protocol";

export interface ViewProps<State extends object, Shared> {
  model: AnyModel<State>;
  /** What all views of the model share. */
  shared: Shared;
  /** Aborts when the view goes. */
  signal: AbortSignal;
  /** Draws other widgets; hosts with anywidget before 0.11 have none. */
  host: Host | undefined;
}

/** A module as anywidget wants it: `share` makes, once a model, what its views have in common. */
export function widget<State extends { _protocol: number }, Shared>(
  View: ComponentType<ViewProps<State, Shared>>,
  share: (model: AnyModel<State>, signal: AbortSignal) => Shared,
): () => AnyWidget<State> {
  return () => {
    let shared: Shared;
    return {
      initialize: withSignal(({ model, signal }) => {
        shared = share(model, signal);
      }),
      render: withSignal(({ model, el, signal, host }) => {
        const matches = model.get("_protocol") === PROTOCOL;
        render(matches ? <View {...{ model, shared, signal, host }} /> : <Mismatch />, el);
        // JupyterLab listens on the field that has the keys, and cancels line breaks and undo in every
        // text field of a cell, with OWN_KEYS or without.
        el.addEventListener("beforeinput", (event) => event.stopPropagation(), {
          capture: true,
          signal,
        });
        signal.addEventListener("abort", () => render(null, el));
      }),
    };
  };
}

/** What is made when it is first asked for: anywidget gives a model up whose start takes over 2 s. */
export function once<T extends object>(make: () => T): () => T {
  let made: T | null = null;
  return () => {
    made ??= make();
    return made;
  };
}

/** Draws a view again whenever one of these traits changes, or what the views share tells so. */
export function useTraits<State extends object>(
  model: AnyModel<State>,
  names: readonly (keyof State & string)[],
  signal: AbortSignal,
  subscribe?: (listener: () => void) => () => void,
): void {
  const [, redraw] = useReducer((n: number, _: undefined) => n + 1, 0);
  useLayoutEffect(() => {
    const again = () => redraw(undefined);
    for (const name of names) watch(model, name, signal, again);
    if (subscribe) signal.addEventListener("abort", subscribe(again));
  }, []);
}
