"""How fast the steering panel of the embedded model answers a hand, in JupyterLab in Chromium.

Measured in the page, from the key or click to the frame that shows the answer: a slider moved to the first new token
of the new text (while nothing runs, and while a text is running), Stop to the text at rest, the pointer on a token to
its card, and a key in the search box to what is found.

    python benchmarks/panel_latency.py [--output panel_latency.csv]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "browser"))
from harness import Notebook, Panel, Server, chromium

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


# Does one thing, and gives the time to the frame that shows what came of it.
SHOWN = """async (root, act, shows) => {
  const asked = performance.now();
  act();
  while (!shows()) await new Promise(done => new MutationObserver((_, observer) => { observer.disconnect(); done(); })
    .observe(root, { subtree: true, childList: true, attributes: true, characterData: true }));
  return (await new Promise(done => requestAnimationFrame(done))) - asked;
}"""
ANSWERED = {
    "token to its card": f"""(root, i) => {{
      const tokens = root.querySelectorAll('[aria-label=Steered] [role=listitem]');
      const token = tokens[i % tokens.length];
      return ({SHOWN})(root, () => token.dispatchEvent(new Event('pointerover', {{ bubbles: true }})),
        () => token.hasAttribute('aria-describedby') && root.querySelector('[role=tooltip]'));
    }}""",
    "key to what is found": f"""(root, i) => {{
      const box = root.querySelector('[type=search]'), words = ['rain', 'joy', 'cat', 'sea'][i % 4];
      return ({SHOWN})(root, () => {{ box.value = words; box.dispatchEvent(new Event('input', {{ bubbles: true }})); }},
        () => root.querySelector('[role=option]')?.getAttribute('aria-label') === words);
    }}""",
}


def measure(panel: Panel, n: int) -> pd.DataFrame:
    """One row a move or a stop: `what`, `ms`."""
    page = panel.page
    rows = []

    def note(what: str, name: str) -> None:
        page.wait_for_function("name => typeof times[name] === 'number'", arg=name)
        rows.append((what, page.evaluate("name => times[name]", name)))

    panel.run.click()
    panel.finish()
    for i in range(n):
        rows += [(what, panel.root.evaluate(script, i)) for what, script in ANSWERED.items()]
    panel.root.get_by_role("searchbox").fill("")
    panel.root.evaluate(WATCH)
    for i in range(n):
        step = "ArrowRight" if i % 20 < 10 else "ArrowLeft"
        panel.slider.focus()
        page.keyboard.press(step)
        note("slider to first token, at rest", "first")
        page.wait_for_timeout(200)
        page.keyboard.press(step)
        note("slider to first token, running", "first")
        page.wait_for_timeout(100)
        panel.stop.click()
        note("Stop to rest", "rest")
        panel.finish()
    return pd.DataFrame(rows, columns=["what", "ms"]).dropna()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=40, help="times each is measured")
    parser.add_argument("--output", default="panel_latency.csv")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as root,
        tempfile.TemporaryDirectory() as state,
        Server(Path(root), Path(state)) as server,
        chromium() as context,
    ):
        notebook = Notebook(server, context.new_page(), "latency.ipynb")
        notebook.run(
            "model = sk.load(); rain = model.dictionary()['rain']",
            "panel = skw.SteeringPanel(model, [rain], 'One day, Mia', max_new_tokens=400)\npanel",
        )
        figures = measure(notebook.panel(), arguments.n)
    summary = figures.groupby("what", sort=False)["ms"].describe(percentiles=[0.5, 0.95])
    print(summary[["count", "min", "50%", "95%", "max"]].round(0).astype(int).to_string())
    figures.to_csv(arguments.output, index=False)
    print(f"CSV in {arguments.output}")


if __name__ == "__main__":
    main()
