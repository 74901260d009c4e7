import { bytes, fakeModel, floats, whole, words } from "./model.js";

const LABELS = ["rain", "umbrella", "cat", "joy", "night", "“ed”, as in “It rained all day”"];
const TOKENS = [
  "<s>",
  "It",
  " rain",
  "ed",
  " all",
  " day",
  ".",
  " The",
  " cat",
  " sat",
  " down",
  ".",
];
const SPECIAL = bytes(TOKENS.map((_, i) => Number(i === 0)));

const features = (labels) => ({
  indices: whole(labels.map((_, k) => k)),
  labels: words(labels),
  sources: words(labels.map(() => "gallery")),
  scores: floats(labels.map((_, k) => 1 - k / 10)),
  maxima: floats(labels.map(() => 8)),
});

/** What fires at each token of the text: two features, by their places. */
function source(site, shift) {
  const fired = TOKENS.map((_, i) => [(i + shift) % 6, (i + shift + 2) % 6]);
  return {
    name: "gallery",
    site,
    ...features(LABELS),
    starts: whole([...fired.keys(), fired.length].map((i) => 2 * i)),
    columns: whole(fired.flat()),
    values: floats(fired.flatMap((_, i) => [2 + 5 * Math.abs(Math.sin(i)), 3 * Math.cos(i)])),
  };
}

export const tokenView = () =>
  fakeModel({
    _protocol: 1,
    _tokens: TOKENS,
    _special: SPECIAL,
    _sources: [source("3.resid_post", 0), source("4.resid_post", 1)],
    _silent: [],
    _selected: [[0, 0]],
    _span: [2, 3],
  });

const MANY = Array.from({ length: 2000 }, (_, k) => LABELS[k] ?? `${LABELS[k % 6]} ${k}`);

export const picker = () =>
  fakeModel({
    _protocol: 1,
    _about: "gallery · 2,000 features",
    _features: {
      ...features(MANY),
      scores: floats(MANY.map((_, k) => 1 - k / 2000)),
      densities: floats(MANY.map((_, k) => 0.1 / (1 + k))),
    },
    _families: { names: ["weather", "animals"], of: bytes(MANY.map((_, k) => k % 3)) },
    _ways: ["words", "nearest"],
    _selected: [0, 2],
    _listed: [],
  });

export const featureCard = () =>
  fakeModel({
    _protocol: 1,
    _card: {
      index: 0,
      labels: [
        { text: "rain", source: "gallery", score: 0.98 },
        { text: "wet weather", source: "user", score: null },
      ],
      dictionary: "gallery",
      site: "3.resid_post",
      norm: 1,
      maximum: 8,
      tokens: {
        promoted: [" rain", " wet", " drops"].map((token, k) => [token, 2 - k / 2]),
        suppressed: [" sun", " dry"].map((token, k) => [token, k / 4 - 1]),
      },
      nearest: LABELS.slice(1).map((label, k) => [k + 1, label]),
    },
    _measured: {
      corpus: "2 texts, 24 tokens",
      density: 0.04,
      maximum: 7,
      counts: [9, 4, 2, 1],
      starts: [1, 2, 4, 8],
      passages: [[7, "It", " rain", "ed all day."]],
    },
    _corpora: ["own"],
  });

const STRENGTHS = [-4, 0, 4, 8, 16];

export const sweepView = () =>
  fakeModel({
    _protocol: 1,
    _about: "rain, in raw",
    _effect: "",
    _prompt: "One day, Mia went to the park",
    _chosen: 2,
    _runs: STRENGTHS.map((strength, k) => ({
      strength,
      text: `${" and it rained".repeat(Math.max(0, k - 1)) || " and played"}.`,
      nats: 0.5 + Math.max(0, k - 2) ** 2 / 2,
      repetition: k / 20,
      effect: Math.max(0, k - 1),
      about: `${3 * k} tokens`,
    })),
  });

const text = (tokens, likely) => ({
  tokens,
  special: bytes(tokens.map(() => 0)),
  logprobs: floats(tokens.map((_, i) => Math.log(likely / (1 + (i % 3))))),
  unsteered: floats(tokens.map((_, i) => Math.log(likely / (1 + (i % 4))))),
  about: `${tokens.length} tokens`,
});
const BASELINE = [" and", " played", " in", " the", " sun", "."];
const STEERED = [" and", " got", " wet", " in", " the", " rain", "."];

export const compareView = () =>
  fakeModel({
    _protocol: 1,
    _prompt: "One day, Mia went to the park",
    _baseline: text(BASELINE, 0.8),
    _steered: {
      ...text(STEERED, 0.6),
      differs: bytes(STEERED.map((token, i) => Number(token !== BASELINE[i]))),
      lanes: {
        KL: floats(STEERED.map((_, i) => Math.abs(Math.sin(i)))),
        rain: floats(STEERED.map((_, i) => 2 * Math.cos(i))),
      },
    },
    _span: [1, 2],
  });

export const contrastView = () =>
  fakeModel({
    _protocol: 1,
    positives: ["It rained all day.", "She opened her umbrella."],
    negatives: ["The sun shone.", "Mia sang a song."],
    _found: {
      ...features(LABELS),
      auroc: floats(LABELS.map((_, k) => 1 - k / 6)),
      difference: floats(LABELS.map((_, k) => 6 - 2 * k)),
      in_positives: floats(LABELS.map((_, k) => 1 - k / 6)),
      in_negatives: floats(LABELS.map((_, k) => k / 6)),
      chance: 0.9,
    },
    _selected: [0],
  });
