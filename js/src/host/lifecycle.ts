/**
 * Gives `run` a signal on every host.
 *
 * anywidget passes `signal` from version 0.11 on; older hosts only call the function that is returned.
 */
export function withSignal<P extends { signal: AbortSignal }>(
  run: (props: P) => void,
): (props: P) => undefined | (() => void) {
  return (props) => {
    if (props.signal) {
      run(props);
      return;
    }
    const own = new AbortController();
    run({ ...props, signal: own.signal });
    return () => own.abort();
  };
}
