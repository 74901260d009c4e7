import { panelModel } from "./panel.js";
import { compareView, contrastView, featureCard, picker, sweepView, tokenView } from "./views.js";

const STATIC = "../../widgets/steerkit_widgets/static";
const MODELS = {
  steering_panel: panelModel,
  token_view: tokenView,
  feature_picker: picker,
  feature_card: featureCard,
  sweep_view: sweepView,
  compare_view: compareView,
  contrast_view: contrastView,
};

async function show(name, makeModel) {
  const link = document.createElement("link");
  const styled = new Promise((done) => {
    Object.assign(link, { rel: "stylesheet", href: `${STATIC}/${name}.css`, onload: done });
  });
  document.head.append(link);
  const section = document.querySelector("main").appendChild(document.createElement("section"));
  section.ariaLabel = name;
  section.append(
    Object.assign(document.createElement("h1"), { textContent: name.replace("_", " ") }),
  );
  const { default: widget } = await import(`${STATIC}/${name}.js`);
  await styled;
  for (const theme of ["light", "dark"]) {
    const el = section.appendChild(document.createElement("div"));
    el.className = theme;
    const { signal } = new AbortController();
    const model = makeModel();
    const { initialize, render } = widget();
    initialize({ model, signal });
    render({ model, el, signal });
  }
}

const alone = location.hash.slice(1);
for (const [name, makeModel] of Object.entries(MODELS)) {
  if (!alone || alone === name) await show(name, makeModel);
}
