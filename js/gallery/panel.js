import { fakeModel, refuse } from "./model.js";

const STORY =
  "'s dad was going to the park. Mia saw something big and yellow, and they played all day.";
const LABELS = ["happy", "calm"];
const words = (text) => text.match(/\s*\S+/g);

const DOCUMENT = {
  prompt: { text: "One day, Mia" },
  edits: LABELS.map((_, vector) => ({
    id: `e${vector}`,
    hue: vector,
    edit: { target: { vector }, operator: "add", strength: 0 },
  })),
  settings: { max_new_tokens: 60, temperature: 0.8, top_p: 1, seeds: [0] },
  preserve_norm: false,
  control: false,
  before: [],
};

const target = (label, vector) => ({
  target: { vector },
  label,
  detail: "0.resid_post",
  score: null,
  unit: "raw",
  units: { raw: { limit: 5, times: 1 }, residual: { limit: 10, times: 2 } },
});

/** A panel whose kernel writes a story, with as many happy words as the first slider asks for. */
export function panelModel() {
  let timer;
  const kernel = (message, emit) => {
    clearInterval(timer);
    if (message.op === "run") timer = write(message, emit);
    else if (!["join", "stop", "pull", "change"].includes(message.op)) refuse(message, emit);
  };
  const traits = {
    _protocol: 1,
    _about: "gallery · no parameters · no device",
    _chat: true,
    _document: DOCUMENT,
    _start: DOCUMENT,
    _presets: [],
    _targets: Object.fromEntries(LABELS.map((label, k) => [`v${k}`, target(label, k)])),
    _texts: null,
  };
  return fakeModel(traits, kernel);
}

function write({ rid, document }, emit) {
  const [happy, calm] = LABELS.map(
    (_, k) => document.edits.find(({ id }) => id === `e${k}`)?.edit.strength ?? 0,
  );
  const baseline = words(STORY);
  const every = Math.max(2, 8 - Math.round(Math.abs(happy) * 2));
  const said = happy < 0 ? " sadly" : " happily";
  const steered = baseline.map((word, i) => (happy && i % every === 1 ? said : word));
  const coefficients = steered.map((word, i) => ({
    e0: word === said ? happy : Math.sin(i) / 9,
    e1: calm * Math.cos(i),
  }));
  let n = 0;
  const timer = setInterval(() => {
    const parts = document.settings.seeds.map(() => ({
      baseline: [n, baseline.slice(n, n + 1)],
      steered: [n, steered.slice(n, n + 1)],
      coefficients: [n, coefficients.slice(n, n + 1)],
    }));
    n += 1;
    const counts = parts.map(() => ({ baseline: n, steered: n, coefficients: n }));
    const stopped = parts.map(() => "length");
    const end = n < baseline.length ? null : { counts, stopped, error: null };
    if (end) clearInterval(timer);
    emit("msg:custom", { v: 1, rid, op: "tokens", parts, seconds: n / 20, end });
  }, 50);
  return timer;
}
