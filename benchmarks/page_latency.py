"""How fast a page answers from its own data: saved widgets in Chromium, without a kernel. `latency.py` runs it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from playwright.sync_api import BrowserContext, Locator

import steerkit as sk
import steerkit_widgets as skw

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "browser"))
from long_reading import repeated

TEXT = "It rained all day. She opened her umbrella and ran home, and the cat sang a happy song."
N_TOKENS = 8_000

# Does one thing, and gives the time to the frame that shows what came of it.
SHOWN = """async (root, act, shows) => {
  const asked = performance.now();
  act();
  while (!shows()) {
    if (performance.now() - asked > 10_000) throw new Error('nothing was shown');
    await new Promise(done => {
      new MutationObserver((_, observer) => { observer.disconnect(); done(); })
        .observe(root, { subtree: true, childList: true, attributes: true, characterData: true });
      setTimeout(done, 1_000);
    });
  }
  await new Promise(done => requestAnimationFrame(done));
  return performance.now() - asked;
}"""
CARD = f"""(root, [tokens, i]) => {{
  const token = root.querySelectorAll(tokens)[i];
  return ({SHOWN})(root, () => token.dispatchEvent(new Event('pointermove', {{ bubbles: true }})),
    () => token.hasAttribute('aria-describedby') && root.querySelector('[role=tooltip]'));
}}"""
# Clicks, and waits until the frame that shows it is painted.
PAINTED = """async button => {
  button.click();
  await new Promise(requestAnimationFrame);
  // Behind the frame: its style, layout and paint are done.
  const { port1, port2 } = new MessageChannel();
  await new Promise(done => { port1.onmessage = done; port2.postMessage(0); });
}"""


def measure(context: BrowserContext, folder: Path, n: int) -> list[tuple[str, float]]:
    """What was done, and the milliseconds it took, `n` times each."""
    model = sk.load()
    features = model.dictionary()
    view = skw.TokenView(repeated(model.read(TEXT, features), N_TOKENS))
    view.set_state({"_span": [3, 3]})
    view.save_html(folder / "view.html")
    page = context.new_page()
    page.goto((folder / "view.html").as_uri())
    root = page.locator(".sk-root")
    root.wait_for()
    rows = [("token to its card, page", root.evaluate(CARD, ["[role=listitem]", i])) for i in range(n)]
    rows += [("recolour 8,000 tokens, main thread", spent) for spent in recolour(root, n)]
    page.close()
    return rows


def recolour(root: Locator, n: int) -> list[float]:
    """The main thread's milliseconds for each change of colours; other work of the machine does not count."""
    devtools = root.page.context.new_cdp_session(root.page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def milliseconds() -> float:
        spent = {
            metric["name"]: 1000 * metric["value"] for metric in devtools.send("Performance.getMetrics")["metrics"]
        }
        return spent["TaskDuration"] - spent["DevToolsCommandDuration"]

    times = []
    # Found beforehand: to find one by its role among thousands of tokens takes longer than what is measured.
    pins = [pin.element_handle() for pin in root.get_by_role("button", name=re.compile("Colour by")).all()[:6]]
    for i in range(n):
        pin = pins[i // 2 % len(pins)]  # pinned, and then taken away again
        began = milliseconds()
        pin.evaluate(PAINTED)
        times.append(milliseconds() - began)
    return times
