// Draws saved widgets in a page without a kernel: nbconvert's, and those of `Widget.save_html`.
// It takes their traits from the state that Jupyter puts into such pages, and needs no network.

interface Saved {
  state: Record<string, unknown> & { _esm: string; _css: string };
  buffers?: { path: (string | number)[]; data: string }[];
}

const MIME = "application/vnd.jupyter.widget";

/** A model whose kernel never answers. */
function silentModel(traits: Record<string, unknown>) {
  const listeners = new Map<string, Set<() => void>>();
  const tell = (event: string) => {
    for (const listener of listeners.get(event) ?? []) listener();
  };
  return {
    tell,
    get: (key: string) => traits[key],
    set(key: string, value: unknown) {
      traits[key] = value;
      tell(`change:${key}`);
    },
    on: (event: string, listener: () => void) => {
      listeners.set(event, (listeners.get(event) ?? new Set()).add(listener));
    },
    off: (event: string, listener: () => void) => listeners.get(event)?.delete(listener),
    save_changes() {},
    send() {},
    widget_manager: {},
  };
}

/** Puts a saved buffer where it belongs among the traits. */
function restore(traits: Record<string, unknown>, path: (string | number)[], data: string): void {
  const binary = atob(data);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  const last = path[path.length - 1]!;
  // biome-ignore lint/suspicious/noExplicitAny: a path may lead through lists and dictionaries.
  const owner = path.slice(0, -1).reduce<any>((at, key) => at[key], traits);
  owner[last] = new DataView(bytes.buffer);
}

async function draw(saved: Record<string, Saved>, id: string, el: HTMLElement): Promise<void> {
  const { state, buffers = [] } = saved[id]!;
  const { _esm, _css, ...traits } = structuredClone(state);
  for (const { path, data } of buffers) restore(traits, path, data);
  document.head.append(Object.assign(document.createElement("style"), { textContent: _css }));
  const url = URL.createObjectURL(new Blob([_esm], { type: "text/javascript" }));
  const { initialize, render } = (await import(url)).default();
  URL.revokeObjectURL(url);
  const { signal } = new AbortController();
  const model = silentModel(traits);
  // Widgets within others are drawn where those want them.
  const getWidget = async (ref: string) => ({
    render: (place: { el: HTMLElement }) => draw(saved, ref.replace("anywidget:", ""), place.el),
  });
  initialize({ model, signal });
  // As ipywidgets tells of a kernel that is gone: what is shown stays, whatever is asked for.
  model.tell("comm_live_update");
  render({ model, signal, el, host: { getWidget } });
}

function json(script: Element) {
  return JSON.parse(script.textContent || "{}");
}

function start(): void {
  // Lab, Notebook and Voila leave this here: they have kernels, and draw widgets themselves.
  if (document.getElementById("jupyter-config-data")) return;
  const saved: Record<string, Saved> = {};
  for (const script of document.querySelectorAll(`script[type="${MIME}-state+json"]`)) {
    Object.assign(saved, json(script).state);
  }
  for (const place of document.querySelectorAll<HTMLElement>("[data-sk-model]")) {
    const id = place.dataset.skModel!;
    if (!saved[id] || place.dataset.skDrawn) continue;
    place.dataset.skDrawn = "true";
    // Else Jupyter's own manager, where it can be reached, would draw the widget a second time.
    for (const view of document.querySelectorAll(`script[type="${MIME}-view+json"]`)) {
      if (json(view).model_id === id) view.remove();
    }
    draw(saved, id, place);
  }
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
