"""A real JupyterLab or Notebook 7 in a real Chromium, and the panel in it as people and screen readers find it."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect, sync_playwright

from steerkit_widgets.cli import EXTENSIONS

ROOT = Path(__file__).parents[2]
MODEL = ROOT.parent / "shared" / "data" / "models" / "tinystories656K"
CHROMIUM = os.environ.get("STEERKIT_CHROMIUM", "/usr/bin/chromium")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000  # of a slow machine under load

SETUP = f"""
import steerkit as sk, steerkit_widgets as skw
model = sk.load({str(MODEL)!r})
feelings = [("happy", "sad"), ("glad", "upset"), ("cheerful", "gloomy"), ("joyful", "lonely"),
            ("proud", "ashamed"), ("excited", "scared"), ("smiling", "crying"), ("thankful", "angry")]
starts = ["Once upon a time there was a girl who felt very", "Tom was", "The little dog looked so"]
joy = sk.learn.mean_difference(
    model,
    [f"{{start}} {{good}}" for start in starts for good, _ in feelings],
    [f"{{start}} {{bad}}" for start in starts for _, bad in feelings],
    sites=["0.resid_post"], label="happy")
"""
CALM = "calm = sk.Vector({'1.resid_post': -joy['0.resid_post']}, 'calm')"
PANEL = "panel = skw.SteeringPanel(model, [joy], prompt='One day, Mia')\npanel"

# A cell that runs until the test lets it go.
HELD = """
import pathlib, time
for _ in range(2400):
    if pathlib.Path("release").exists(): break
    time.sleep(0.05)
"""


# Tests marked so run in both; `notebook` is in JupyterLab alone for the others.
IN_NOTEBOOKS = pytest.mark.parametrize("app", ["lab", "notebook"], indirect=True, scope="module")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server of JupyterLab, Notebook 7 and Voila on `root`, with settings of its own; it ends with its kernels."""

    def __init__(self, root: Path, state: Path) -> None:
        self.root, self.state = root, state
        self.token = secrets.token_hex(12)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        own = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        self.env = {**os.environ, **{name: str(state / folder) for name, folder in own.items()}}
        # The model is tiny: threads that wait for each other while Chromium works cost more than they bring.
        self.env["OMP_NUM_THREADS"] = "1"
        self._set("@jupyterlab/apputils-extension", "notification", {"fetchNews": "false"})
        # Cells out of sight stay on the page.
        self._set("@jupyterlab/notebook-extension", "tracker", {"windowingMode": "none"})

    def __enter__(self) -> Server:
        command = [
            *(sys.executable, "-m", "jupyter", "lab", "--allow-root"),
            *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.port}"),
            *("--ServerApp.port_retries=0", "--ServerApp.open_browser=False"),
            *(f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.root}"),
            # `window.jupyterapp`: commands and kernels without brittle selectors.
            *("--LabApp.expose_app_in_browser=True", "--JupyterNotebookApp.expose_app_in_browser=True"),
            *(f"--VoilaConfiguration.extension_allowlist={name}" for name in EXTENSIONS),
        ]
        self._log = open(self.state / "server.log", "wb")
        self._process = subprocess.Popen(
            command, cwd=self.root, env=self.env, stdout=self._log, stderr=subprocess.STDOUT
        )
        end = time.monotonic() + 3 * PATIENCE_MS / 1000
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/api", timeout=5):
                return self
            time.sleep(0.1)
        said = self.log()[-3000:]
        self.__exit__()
        raise RuntimeError(f"JupyterLab did not start:\n{said}")

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)  # it stops its kernels
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()
        shutil.rmtree(self.state, ignore_errors=True)

    def reach(self) -> None:
        """Fail, in one line, unless the server answers.

        Raises:
            RuntimeError: It does not.
        """
        try:
            urllib.request.urlopen(f"{self.url}/api", timeout=60).close()
        except OSError as error:
            said = self.log().strip().splitlines()[-1:]
            raise RuntimeError(f"JupyterLab at {self.url} cannot be reached ({error}). Its log ends: {said}") from None

    def log(self) -> str:
        return (self.state / "server.log").read_text(errors="replace")

    def _set(self, plugin: str, schema: str, value: object) -> None:
        folder = self.state / "settings" / plugin
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{schema}.jupyterlab-settings").write_text(json.dumps(value))


@contextlib.contextmanager
def chromium() -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        context = browser.new_context(viewport={"width": 1280, "height": 1000})
        context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield context
        browser.close()


def write_notebook(path: Path, sources: list[str]) -> None:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(metadata={"kernelspec": kernel}, cells=cells), path)


# What the application itself reports and its users do not notice: Notebook 7 asks for a font of its own after a
# restart of the kernel, and looks for settings and commands before they are there when a page is loaded again.
OF_THE_HOST = {"lab": "(?!)", "notebook": r"/static/notebook/\w+\.woff2$|reading 'schema'|registered\.$"}


class Notebook:
    """A notebook open in JupyterLab (`app="lab"`) or Notebook 7 (`"notebook"`). Its first cell is the set-up."""

    app = "lab"

    def __init__(self, server: Server, page: Page, name: str, app: str = "lab", setup: str = SETUP) -> None:
        self.server, self.page, self.name, self.app = server, page, name, app
        self.errors: list[str] = []
        self._listen()
        write_notebook(server.root / name, [setup])
        self.open()
        self.command("notebook:run-all-cells")

    def note(self, error: str) -> None:
        """Keep an error of the page, unless it is the host's own."""
        if not re.search(OF_THE_HOST[self.app], error):
            self.errors.append(error)

    def _listen(self) -> None:
        self.page.on("console", lambda m: self.note(f"{m.text} {m.location['url']}") if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.note(str(error)))

    def open(self, workspace: str = "first") -> None:
        """Load the page, in JupyterLab in a workspace for this notebook alone.

        A tab in a workspace that another has open, JupyterLab loads anew in one of another name, once it notices.
        """
        workspace = f"{Path(self.name).stem}-{workspace}"
        folder = {"lab": f"lab/workspaces/{workspace}/tree", "notebook": "notebooks"}[self.app]
        self.page.goto(f"{self.server.url}/{folder}/{self.name}?token={self.server.token}&reset", timeout=60_000)
        self.page.wait_for_function("window.jupyterapp", timeout=60_000)
        self.page.evaluate("window.jupyterapp.restored.then(() => 1)")
        self.idle()

    @contextlib.contextmanager
    def second_tab(self) -> Iterator[Notebook]:
        """The same notebook and kernel in another tab of JupyterLab."""
        tab = copy.copy(self)
        tab.page = self.page.context.new_page()
        tab._listen()
        try:
            tab.open("second")
            yield tab
        finally:
            tab.page.close()

    def idle(self) -> None:
        """Wait for a kernel that is connected and does nothing."""
        self.page.wait_for_function(
            "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
            timeout=60_000,
        )

    def command(self, name: str) -> None:
        self.page.evaluate("name => window.jupyterapp.commands.execute(name).then(() => 1)", name)

    def theme(self, name: str) -> None:
        """Change to JupyterLab's `light` or `dark` theme."""
        self.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme}).then(() => 1)",
            f"JupyterLab {name.title()}",
        )
        # The command is done before the theme has changed and the splash has gone from over the page.
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", f"JupyterLab {name.title()}")
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)

    def run(self, *sources: str, wait: bool = True) -> None:
        """Put these cells in place of all but the first, and run them in turn."""
        self.page.evaluate(
            """async ([sources, wait]) => {
              const notebook = window.jupyterapp.shell.currentWidget.content;
              const shared = notebook.model.sharedModel;
              shared.deleteCellRange(1, shared.cells.length);
              shared.insertCells(1, sources.map(source => ({cell_type: 'code', source})));
              notebook.activeCellIndex = 1;
              const done = window.jupyterapp.commands.execute('notebook:run-all-below');
              window.allRun = false;
              done.then(() => { window.allRun = true; });
              if (wait) await done;
            }""",
            [list(sources), wait],
        )

    def execute(self, code: str) -> str:
        """Run code in the kernel, outside any cell; returns what it prints."""
        return self.page.evaluate(
            """async code => {
              const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
              const future = kernel.requestExecute({code, store_history: false});
              let printed = '';
              future.onIOPub = message => {
                if (message.header.msg_type === 'stream') printed += message.content.text;
                if (message.header.msg_type === 'error') printed += message.content.evalue;
              };
              await future.done;
              return printed;
            }""",
            code,
        )

    def await_printed(self, code: str, printed: str | Callable[[str], bool]) -> None:
        """Run code until it prints this: the kernel hears of what a hand does a moment after the page shows it."""
        end = time.monotonic() + PATIENCE_MS / 1000
        while (found := self.execute(code)) != printed and not (callable(printed) and printed(found)):
            assert time.monotonic() < end, f"{code} still prints {found!r}"

    def run_text(self, name: str = "panel") -> str:
        """The last steered text of a panel, once it is there and measured."""
        return self.execute(f"{name}.wait(60); print({name}.run.text, end='')")

    def release(self) -> None:
        """Let the cell `HELD` end."""
        (self.server.root / "release").touch()
        self.idle()

    def panel(self, index: int = 0) -> Panel:
        root = self.page.locator(".sk-steering-panel").nth(index)
        root.wait_for()
        return Panel(root)


class Panel:
    """One view of a panel, found by roles and names as documented."""

    def __init__(self, root: Locator) -> None:
        self.root, self.page = root, root.page
        self.prompt = root.get_by_role("textbox", name="Prompt")
        self.run = root.get_by_role("button", name="Run")
        self.stop = root.get_by_role("button", name="Stop")
        self.baseline = root.get_by_role("region", name="Baseline")
        self.steered = root.get_by_role("region", name="Steered")
        self.slider = root.get_by_role("slider")
        self.status = root.get_by_role("status")
        self.alert = root.get_by_role("alert")

    def number(self, label: str) -> Locator:
        return self.root.get_by_label(f"{label} strength")

    def finish(self) -> None:
        """Wait until no text is running, and none is about to."""
        # The page shows what was asked for in its next frame.
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        expect(self.root.locator("[aria-busy=true]")).to_have_count(0)

    def await_text(self) -> None:
        """Wait for the first new token of a text."""
        self.steered.get_by_role("listitem").first.wait_for()

    def await_measures(self) -> None:
        """Wait until the text is measured: alternatives, KL and figures are there then."""
        expect(self.steered).to_contain_text("nats a token")


TEXT = "region => [...region.querySelectorAll('[role=listitem]')].map(token => token.textContent).join('')"


def text(region: Locator) -> str:
    """The new text in a region, token by token."""
    return region.evaluate(TEXT)


def await_text(region: Locator, written: str) -> None:
    """Wait until a region shows this text and no other."""
    region.page.wait_for_function(
        f"([region, written]) => ({TEXT})(region) === written", arg=[region.element_handle(), written]
    )


def check_card(root: Locator, item: Locator) -> None:
    """Fail unless the card of an item is as WCAG 1.4.13 wants it: hoverable, persistent, and closed by Escape."""
    page, card = root.page, root.get_by_role("tooltip")

    def rest() -> None:
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def point() -> None:
        item.hover()
        expect(card).to_be_visible()

    def go_onto_the_card() -> None:
        point()
        at, to = item.bounding_box(), card.bounding_box()
        page.mouse.move(at["x"] + at["width"] / 2, to["y"] + to["height"] / 2, steps=40)
        rest()
        expect(card).to_have_attribute("id", item.get_attribute("aria-describedby"))

    page.evaluate("document.activeElement.blur()")
    go_onto_the_card()
    page.mouse.move(1, 1)
    expect(card).to_have_count(0)
    for go in (point, go_onto_the_card):
        go()
        page.keyboard.press("Escape")
        expect(card).to_have_count(0)
        rest()
        expect(card).to_have_count(0)  # nor that of an item that was under it
        page.mouse.move(1, 1)
    item.focus()
    expect(card).to_be_visible()
    page.keyboard.press("Escape")
    expect(card).to_have_count(0)
