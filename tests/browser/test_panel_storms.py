"""The panel under stress in JupyterLab: storms of moves, lost connections and kernels, a second tab; nothing stays."""

from collections.abc import Iterator

import pytest
from harness import HELD, PANEL, Notebook, Panel, await_text, text
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OTHER = PANEL.replace("panel", "other").replace("Mia", "Tom")
# Counts the runs of the panels that are being written at once.
COUNT = """
import threading
at_once, most, lock = 0, 0, threading.Lock()
def count(write):
    def counted(*arguments):
        global at_once, most
        with lock:
            at_once += 1; most = max(most, at_once)
        try: return write(*arguments)
        finally:
            with lock: at_once -= 1
    return counted
"""
COUNTED = "{0}._writer.write = count({0}._writer.write)"
# What a widget could leave in the kernel: threads of its own, and hooks on the model.
LEFT = """
import threading
threads = sorted(t.name for t in threading.enumerate() if t.name[:8] in ("steering", "Steering"))
hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.nnsight._module.modules()]
print(threads, sum(hooks))
"""
# Listeners on document and window, which outlive the elements that they serve: those of the widget, which is a blob.
LISTENERS = """() => {
  const { addEventListener, removeEventListener } = EventTarget.prototype;
  const kept = window.kept = new Set();
  EventTarget.prototype.addEventListener = function (type, call, options) {
    if ((this === document || this === window) && new Error().stack.includes('blob:')) {
      const one = [type, call];
      kept.add(one);
      options?.signal?.addEventListener('abort', () => kept.delete(one));
    }
    return addEventListener.call(this, type, call, options);
  };
  EventTarget.prototype.removeEventListener = function (type, call, options) {
    for (const one of kept) if (one[0] === type && one[1] === call) kept.delete(one);
    return removeEventListener.call(this, type, call, options);
  };
}"""
# Moves of a slider, 50 a second where the machine can.
STORM = """async (root, n) => {
  const slider = root.querySelector('[role=slider], input[type=range]');
  const begun = performance.now();
  for (let move = 0; move < n; move++) {
    const up = Math.floor(move / 50) % 2 === 0;
    slider.dispatchEvent(new KeyboardEvent('keydown', { key: up ? 'ArrowRight' : 'ArrowLeft', bubbles: true }));
    const due = begun + 20 * (move + 1) - performance.now();
    if (due > 0) await new Promise(done => setTimeout(done, due));
  }
}"""
KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"


def is_right(notebook: Notebook, panel: Panel, name: str = "panel") -> None:
    """The panel comes to rest in the text of the strength that it shows."""
    panel.finish()
    shown = panel.number("happy").input_value().replace("−", "-")
    await_text(panel.steered, notebook.run_text(name))
    assert float(notebook.execute(f"print({name}.run.plan[0].strength)")) == float(shown)


def test_a_thousand_moves_end_in_the_right_text(notebook: Notebook) -> None:
    notebook.run(PANEL, f"{COUNT}\n{COUNTED.format('panel')}")
    panel = notebook.panel()
    panel.slider.press("PageUp")
    panel.root.evaluate(STORM, 1000)
    is_right(notebook, panel)
    assert notebook.execute("print(most)") == "1\n"


def test_two_panels_and_a_running_cell(notebook: Notebook, release: None) -> None:
    counted = "\n".join([COUNT, COUNTED.format("panel"), COUNTED.format("other")])
    notebook.run(PANEL, OTHER, counted, HELD, wait=False)
    panels = notebook.panel(0), notebook.panel(1)
    both = panels[0].root.page.locator(".sk-steering-panel")
    both.evaluate_all(f"roots => Promise.all(roots.map(root => ({STORM})(root, 200))).then(() => 1)")
    for panel in panels:
        panel.slider.press("PageUp")
        panel.finish()
    assert not notebook.page.evaluate("window.allRun"), "the cell should still be running"
    notebook.release()
    for panel, name in zip(panels, ["panel", "other"], strict=True):
        is_right(notebook, panel, name)
    # Each writes on a thread of its own; the model lets one in at a time.
    assert int(notebook.execute("print(most)")) <= 2


def test_a_connection_that_drops_and_comes_back(notebook: Notebook) -> None:
    notebook.run(PANEL)
    panel = notebook.panel()
    panel.run.click()
    panel.await_text()
    notebook.page.evaluate(f"{KERNEL}._ws.close()")
    panel.finish()
    panel.slider.press("PageUp")
    is_right(notebook, panel)


@pytest.fixture
def lid(notebook: Notebook) -> Iterator[None]:
    yield
    notebook.page.context.set_offline(False)
    if notebook.page.locator(".jp-Dialog").count():  # the host says in the middle of the page too that it had none
        notebook.page.keyboard.press("Escape")
    notebook.idle()
    notebook.errors.clear()  # the host says there that it had no connection


def test_a_lid_that_closes_and_opens(notebook: Notebook, lid: None) -> None:
    notebook.run(PANEL.replace("prompt=", "max_new_tokens=200, prompt="))
    panel = notebook.panel()
    panel.run.click()
    panel.await_text()
    before = text(panel.steered)
    notebook.page.context.set_offline(True)
    # A lost connection says no goodbye, for which Chromium would wait a minute; and one that came back before offline
    # took force is lost again.
    lost = f"{KERNEL}._ws.dispatchEvent(new CloseEvent('close', {{ code: 1006 }}))"
    notebook.page.wait_for_function(f"{KERNEL}.connectionStatus !== 'connected' || void {lost}", polling=500)
    assert text(panel.steered).startswith(before[:20])
    notebook.page.context.set_offline(False)
    notebook.page.evaluate(f"{KERNEL}.reconnect()")
    notebook.page.wait_for_function(f"{KERNEL}.connectionStatus === 'connected'")
    is_right(notebook, panel)
    panel.slider.press("PageUp")
    is_right(notebook, panel)


def test_a_kernel_that_restarts_midway(notebook: Notebook) -> None:
    notebook.run(PANEL.replace("prompt=", "max_new_tokens=400, prompt="))
    panel = notebook.panel()
    panel.run.click()
    panel.await_text()
    notebook.page.evaluate(f"{KERNEL}.restart()")
    notebook.idle()
    expect(panel.root.locator("[aria-busy=true]")).to_have_count(0)
    assert text(panel.steered)
    panel.run.click()  # a text that had ended before the kernel did has nothing to say until it is asked again
    expect(panel.status).to_contain_text("Run the cell again")
    notebook.command("notebook:run-all-cells")
    notebook.idle()
    again = notebook.panel()
    again.slider.press("PageUp")
    is_right(notebook, again)


def test_a_second_tab_on_the_same_notebook(notebook: Notebook) -> None:
    notebook.run(PANEL)
    first = notebook.panel()
    first.slider.press("PageUp")
    is_right(notebook, first)
    notebook.command("docmanager:save")
    with notebook.second_tab() as tab:
        second = tab.panel()
        expect(second.number("happy")).to_have_value("+0.5")
        second.slider.press("PageUp")
        is_right(notebook, second)
        expect(first.number("happy")).to_have_value("+1")
        is_right(notebook, first)
        first.slider.press("PageDown")
        is_right(notebook, first)
        expect(second.number("happy")).to_have_value("+0.5")
        await_text(second.steered, text(first.steered))


def test_nothing_is_left_behind(notebook: Notebook) -> None:
    def use() -> None:
        notebook.run(PANEL)
        panel = notebook.panel()
        panel.run.click()
        panel.finish()
        panel.root.get_by_role("button", name="Presets").click()
        expect(panel.root.get_by_label("Name of the preset")).to_be_visible()
        notebook.page.wait_for_function("window.kept.size === 1")
        notebook.run("panel.close()")
        notebook.page.wait_for_function("window.kept.size === 0")

    notebook.page.evaluate(LISTENERS)
    for _ in range(4):
        use()
    notebook.await_printed(LEFT, "[] 0\n")


def test_a_cell_that_runs_again_leaves_no_thread(notebook: Notebook) -> None:
    for _ in range(3):
        notebook.run(PANEL)
        panel = notebook.panel()
        panel.run.click()
        panel.finish()
    # The old panels are not closed; their threads end once nobody has used them for a while.
    notebook.await_printed(LEFT, "[] 0\n")
