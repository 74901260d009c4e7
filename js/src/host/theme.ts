import { luminance, mix, type Rgb, tintCap } from "../parts/colour";

/** One hue an edit; further edits begin again with the first. */
export const N_HUES = 6;
/** The strongest tint, where contrast allows it. */
const MOST = 0.5;
const SYSTEM = "(prefers-color-scheme: dark)";
/** Some hosts fade from one theme to the other. */
const FADED_MS = 400;
const THEME_ATTRIBUTES = [
  "class",
  "style",
  "data-theme",
  "data-jp-theme-name",
  "data-vscode-theme-kind",
];

/**
 * Keeps `root` in the notebook's theme: light or dark, and how far each hue may tint a text.
 *
 * It looks at the background behind `root`, so that it works in any host; the system's preference
 * has no say of its own, because notebooks do not follow it and saved pages do.
 */
export function followTheme(root: HTMLElement, signal: AbortSignal): void {
  const paint = opaque();
  const apply = () => {
    if (!root.isConnected || !paint) return;
    root.dataset.skTheme = luminance(behind(root, paint)) < 0.2 ? "dark" : "light";
    const style = getComputedStyle(root);
    const background = paint(style.backgroundColor, behind(root, paint));
    const text = paint(style.color, background);
    for (let hue = 0; hue < N_HUES; hue++) {
      const colour = paint(style.getPropertyValue(`--sk-hue-${hue}`), background);
      const cap = tintCap(text, background, colour, MOST);
      root.style.setProperty(`--sk-cap-${hue}`, `${Math.round(cap * 100)}%`);
    }
  };
  let later: ReturnType<typeof setTimeout> | undefined;
  const themes = new MutationObserver(() => {
    apply();
    clearTimeout(later);
    later = setTimeout(apply, FADED_MS);
  });
  for (const element of [document.documentElement, document.body]) {
    themes.observe(element, { attributes: true, attributeFilter: THEME_ATTRIBUTES });
  }
  matchMedia(SYSTEM).addEventListener("change", apply, { signal });
  // Fires on the first layout too: hosts may render into an element that is not yet on the page.
  const layout = new ResizeObserver(apply);
  layout.observe(root);
  signal.addEventListener("abort", () => {
    themes.disconnect();
    clearTimeout(later);
    layout.disconnect();
  });
}

type Paint = (colour: string, under: Rgb) => Rgb;

/** Any CSS colour as painted over `under`. */
function opaque(): Paint | null {
  const context = Object.assign(document.createElement("canvas"), {
    width: 1,
    height: 1,
  }).getContext("2d", { willReadFrequently: true });
  if (!context) return null;
  return (colour, under) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour || "transparent";
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data as unknown as [...Rgb, number];
    return mix(under, [r, g, b], a / 255);
  };
}

/** What an element stands in; marimo puts each widget into a shadow root. */
function around(element: Element): Element | null {
  const root = element.getRootNode();
  return element.parentElement ?? (root instanceof ShadowRoot ? root.host : null);
}

function behind(root: HTMLElement, paint: Paint): Rgb {
  const layers: string[] = [];
  for (let at = around(root); at; at = around(at)) {
    layers.push(getComputedStyle(at).backgroundColor);
  }
  return layers.reduceRight<Rgb>((under, layer) => paint(layer, under), [255, 255, 255]);
}
