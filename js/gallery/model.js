// A model without a kernel, and arrays as the kernel packs them.

/** Keeps traits; `send` plays the kernel, and answers through `emit`. */
export function fakeModel(traits, send = refuse) {
  const listeners = new Map();
  const emit = (event, ...args) => {
    for (const listener of listeners.get(event) ?? []) listener(...args);
  };
  return {
    get: (key) => traits[key],
    set(key, value) {
      traits[key] = value;
      emit(`change:${key}`);
    },
    on: (event, listener) =>
      listeners.set(event, (listeners.get(event) ?? new Set()).add(listener)),
    off: (event, listener) => listeners.get(event)?.delete(listener),
    save_changes() {},
    send: (message) => send(message, emit),
    widget_manager: {},
  };
}

/** What a page hears of questions that the gallery cannot answer. */
export function refuse({ rid }, emit) {
  const error = {
    kind: "Gallery",
    message: "The gallery has no kernel.",
    hint: "Only what the page has by itself works here.",
  };
  if (rid) emit("msg:custom", { v: 1, rid, op: "error", error });
}

const packed = (dtype, array) => ({ dtype, data: new DataView(array.buffer) });
export const floats = (values) => packed("float32", Float32Array.from(values));
export const whole = (values) => packed("uint32", Uint32Array.from(values));
export const bytes = (values) => packed("uint8", Uint8Array.from(values));
export const words = (texts) =>
  packed("lines", new TextEncoder().encode(texts.map((text) => `${text}\n`).join("")));
