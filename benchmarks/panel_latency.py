"""How fast widgets answer where the kernel has to: in JupyterLab in Chromium, with the embedded model.

Measured in the page, from the key or click to the frame that shows the answer. `latency.py` runs it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from page_latency import CARD, SHOWN
from playwright.sync_api import BrowserContext

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "browser"))
from harness import Notebook, Panel, Server

N_LABELS = 131_072
# Keeps when the last key or click came, when the steered text began afresh after it, and when it came to rest.
WATCH = """root => {
  const region = root.querySelector('[aria-label=Steered]');
  const times = window.times = {};
  for (const event of ['keydown', 'click']) {
    root.addEventListener(event, () => {
      const rest = region.ariaBusy === 'true' ? null : NaN;  // it had ended before it could be stopped
      Object.assign(times, { asked: performance.now(), first: null, rest });
    }, true);
  }
  const note = name => requestAnimationFrame(now => { times[name] ??= performance.now() - times.asked; });
  // The old text fades until the first token of the new one is there.
  const begun = record => record.oldValue?.includes('sk-fading') && !record.target.classList.contains('sk-fading');
  new MutationObserver(records => {
    if (records.some(begun)) note('first');
    if (region.ariaBusy !== 'true') note('rest');
  }).observe(region, { subtree: true, attributes: true, attributeOldValue: true });
}"""
KEY = f"""(root, text) => {{
  const box = root.querySelector('[type=search]');
  const first = () => root.querySelector('[role=option]')?.textContent ?? '';
  return ({SHOWN})(root, () => {{ box.value = text; box.dispatchEvent(new Event('input', {{ bubbles: true }})); }},
    () => first().includes(text));
}}"""
NEAREST = f"""(root, i) => {{
  const shown = () => root.querySelector('h2').textContent, before = shown();
  const near = [...root.querySelectorAll('[aria-label="Nearest features"] button')];
  return ({SHOWN})(root, () => near[i % near.length].click(), () => shown() !== before);
}}"""
# From the command that runs the cell to the frame with the panel's slider.
OPENED = """async () => {
  const { commands, shell } = window.jupyterapp, { content } = shell.currentWidget;
  content.activeCellIndex = 1;
  const output = content.widgets[1].node, there = () => output.querySelector('[role=slider], [type=range]');
  await commands.execute('notebook:clear-cell-output');
  while (there()) await new Promise(requestAnimationFrame);
  const asked = performance.now();
  commands.execute('notebook:run-cell');
  while (!there()) await new Promise(requestAnimationFrame);
  return performance.now() - asked;
}"""
MANY = f"""
import sys, torch
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
from labels import make_labels
from steerkit.dictionaries.activations import ReLU
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.matrix import InMemory
from steerkit.dictionaries.parts import Parts
rows, site = torch.randn({N_LABELS}, 4), sk.Site.parse("0.resid_post")
many = Dictionary(Parts(format="plain", W_enc=InMemory(rows.T.contiguous()), W_dec=InMemory(rows),
                        b_dec=torch.zeros(4), activation=ReLU(), site_in=site, site_out=site), "many", labels=None)
made, words = make_labels({N_LABELS}, 40_000, np.random.default_rng(0))
many.labels.add(made, source="made up")
"""
PANEL = "panel = skw.SteeringPanel(model, [rain], 'One day, Mia', max_new_tokens=400)\npanel"

Rows = Iterable[tuple[str, float]]


def measure(context: BrowserContext, root: Path, state: Path, n: int) -> list[tuple[str, float]]:
    """What was done, and the milliseconds it took, about `n` times each."""
    with Server(root, state) as server:
        notebook = Notebook(server, context.new_page(), "latency.ipynb")
        notebook.run("model = sk.load(); features = model.dictionary(); rain = features['rain']")
        notebook.run(PANEL)
        rows = [*_panel(notebook.panel(), n)]
        rows += [("open a panel", notebook.page.evaluate(OPENED)) for _ in range(n // 2)]
        notebook.run("skw.FeatureCard(rain, model)")
        card = notebook.page.locator(".sk-feature-card")
        card.wait_for()
        rows += [("feature to its card, kernel", card.evaluate(NEAREST, i)) for i in range(n)]
        notebook.run(MANY, "skw.FeaturePicker(many)")
        picker = notebook.page.locator(".sk-feature-picker")
        picker.wait_for()
        typed = notebook.execute(f"print(*[word for word in words if len(word) > 6][:{n}])").split()
        # Each word to another length, so that no list shows already what is typed next.
        keys = [word[: 3 + i % 4] for i, word in enumerate(typed)]
        rows += [("key over 131,072 labels, kernel", picker.evaluate(KEY, key)) for key in keys]
    return rows


def _panel(panel: Panel, n: int) -> Rows:
    page = panel.page

    def noted(name: str) -> float:
        page.wait_for_function("name => typeof times[name] === 'number'", arg=name)
        return page.evaluate("name => times[name]", name)

    panel.run.click()
    panel.finish()
    panel.root.evaluate(WATCH)
    for i in range(n):
        step = "ArrowRight" if i % 20 < 10 else "ArrowLeft"
        panel.slider.focus()
        page.keyboard.press(step)
        yield "slider to first token, at rest", noted("first")
        page.wait_for_timeout(200)
        page.keyboard.press(step)
        yield "slider to first token, running", noted("first")
        page.wait_for_timeout(100)
        panel.stop.dispatch_event("click")  # at once, and even if the text has just ended
        yield "Stop to rest", noted("rest")
        panel.finish()
    panel.run.click()
    panel.finish()
    panel.await_measures()
    for i in range(n):
        yield "token to its card, page", panel.root.evaluate(CARD, ["[aria-label=Steered] [role=listitem]", i])
