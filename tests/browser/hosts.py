"""The same widgets, shown by JupyterLab, Notebook 7, Voila and marimo."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness import Notebook, Server, free_port, write_notebook
from playwright.sync_api import BrowserContext, Locator, Page

PROMPT = "One day, Mia"
SETUP = """
import steerkit as sk
import steerkit_widgets as skw
model = sk.load()
features = model.dictionary()
rain = features["rain"]
"""
WIDGETS = {
    "panel": f"skw.SteeringPanel(model, [rain], {PROMPT!r}, 16)",
    "view": "skw.TokenView(model.read('It rained all day. Mia ran home.', features))",
    "picker": "skw.FeaturePicker(features, model)",
    "card": "skw.FeatureCard(rain, model)",
    "compare": f"skw.CompareView(model.compare({PROMPT!r}, [rain.add(0.5, unit='max')], max_new_tokens=16))",
    "sweep": f"skw.SweepView(model.sweep({PROMPT!r}, rain.add(1, unit='max'), [0, 0.25, 0.5], max_new_tokens=16))",
    "contrast": "skw.ContrastView(features, model)",
    "lab": f"skw.Lab(model, features, {PROMPT!r}, 16)",
}
CELLS = [f"{name} = {made}\n{name}" for name, made in WIDGETS.items()]
NAMES = [
    "steering-panel",
    "token-view",
    "feature-picker",
    "feature-card",
    "compare-view",
    "sweep-view",
    "contrast-view",
    "lab",
]


class Host:
    """A page of one host with all the widgets.

    Attributes:
        execute: Runs code where the widgets live; None in hosts that show no cells.
    """

    def __init__(self, page: Page, theme: Callable[[str], None], execute: Callable[[str], str] | None = None) -> None:
        self.page, self.theme, self.execute = page, theme, execute
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def widget(self, name: str) -> Locator:
        """The widget that stands by itself; the lab's own come after it."""
        root = self.page.locator(f".sk-{name}").first
        root.wait_for(timeout=120_000)
        return root


def in_notebook(app: str, server: Server, context: BrowserContext) -> Host:
    page = context.new_page()
    notebook = Notebook(server, page, f"hosts-{app}.ipynb", app, SETUP)
    host = Host(page, notebook.theme, notebook.execute)
    notebook.run(*CELLS)
    return host


def in_voila(server: Server, context: BrowserContext) -> Host:
    write_notebook(server.root / "hosts-voila.ipynb", [SETUP, *CELLS])
    page = context.new_page()

    def show(theme: str) -> None:
        address = f"{server.url}/voila/render/hosts-voila.ipynb?token={server.token}&theme={theme}"
        page.goto(address, timeout=120_000)  # the page ends when the notebook has run

    host = Host(page, show)
    show("light")
    return host


def marimo_app() -> str:
    """The same cells as a marimo app."""
    shown = "".join(
        f"@app.cell\ndef _(features, mo, model, rain, skw):\n    mo.ui.anywidget({made})\n    return\n\n"
        for made in WIDGETS.values()
    )
    setup = "".join(f"    {line}\n" for line in SETUP.strip().splitlines())
    return (
        "import marimo\n\napp = marimo.App(width='full')\n\n"
        f"@app.cell\ndef _():\n    import marimo as mo\n{setup}    return features, mo, model, rain, skw\n\n{shown}"
    )


@contextmanager
def in_marimo(state: Path, context: BrowserContext) -> Iterator[Host]:
    (state / "app.py").write_text(marimo_app())
    (state / "marimo").mkdir()
    (state / "marimo" / "marimo.toml").write_text('[display]\ntheme = "system"\n')
    own = {name: str(state) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")}
    port, token = free_port(), secrets.token_hex(12)
    command = [
        *(sys.executable, "-m", "marimo", "run", str(state / "app.py"), "--headless"),
        *("--host", "127.0.0.1", "--port", str(port), "--token", "--token-password", token),
    ]
    page = context.new_page()
    with open(state / "server.log", "wb") as log:
        process = subprocess.Popen(command, cwd=state, env={**os.environ, **own}, stdout=log, stderr=subprocess.STDOUT)
        try:
            for _ in range(600):
                with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
                if process.poll() is not None:
                    raise RuntimeError(f"marimo did not start:\n{(state / 'server.log').read_text()[-3000:]}")
                time.sleep(0.1)
            host = Host(page, lambda theme: page.emulate_media(color_scheme=theme))
            page.goto(f"http://127.0.0.1:{port}/?access_token={token}")
            yield host
        finally:
            page.close()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
