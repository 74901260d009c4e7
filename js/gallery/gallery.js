import { fakeModel } from "./model.js";
import { panelModel } from "./panel.js";
import { compareView, contrastView, featureCard, picker, sweepView, tokenView } from "./views.js";

const STATIC = "../../widgets/steerkit_widgets/static";
/** The widgets within the lab are named as they are here. */
const lab = () =>
  fakeModel({
    _protocol: 1,
    panel: "steering_panel",
    tokens: "token_view",
    picker: "feature_picker",
    card: "feature_card",
    sweep: "sweep_view",
    contrast: "contrast_view",
    _edits: [{ id: "e0", label: "happy" }],
    _unread: "",
  });
const MODELS = {
  steering_panel: panelModel,
  token_view: tokenView,
  feature_picker: picker,
  feature_card: featureCard,
  sweep_view: sweepView,
  compare_view: compareView,
  contrast_view: contrastView,
  lab,
};

/** Draws a widget on a model of its own. */
async function draw(name, el) {
  const { default: widget } = await import(`${STATIC}/${name}.js`);
  const { signal } = new AbortController();
  const model = MODELS[name]();
  const getWidget = async (ref) => ({ render: ({ el }) => draw(ref, el) });
  const { initialize, render } = widget();
  initialize({ model, signal });
  render({ model, el, signal, host: { getWidget } });
}

function styled(name) {
  const link = document.createElement("link");
  const loaded = new Promise((done) => {
    Object.assign(link, { rel: "stylesheet", href: `${STATIC}/${name}.css`, onload: done });
  });
  document.head.append(link);
  return loaded;
}

async function show(name) {
  const section = document.querySelector("main").appendChild(document.createElement("section"));
  section.ariaLabel = name;
  const title = { textContent: name.replace("_", " ") };
  section.append(Object.assign(document.createElement("h1"), title));
  for (const theme of ["light", "dark"]) {
    const el = section.appendChild(document.createElement("div"));
    el.className = theme;
    await draw(name, el);
  }
}

const alone = location.hash.slice(1);
await Promise.all(Object.keys(MODELS).map(styled));
for (const name of Object.keys(MODELS)) {
  if (!alone || alone === name) await show(name);
}
