"""The panel under stress in JupyterLab: storms of moves, a dropped connection, a second tab, nothing left behind."""

import pytest
from harness import PANEL, Notebook, text
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

# Counts the runs that are being written at once, and those of Python's threads and the model's hooks there are.
COUNT = """
import threading
from contextlib import contextmanager
at_once, most, lock = 0, 0, threading.Lock()
write = panel._writer.write
def counted(*arguments):
    global at_once, most
    with lock:
        at_once += 1; most = max(most, at_once)
    try: return write(*arguments)
    finally:
        with lock: at_once -= 1
panel._writer.write = counted
"""
LEFT = "print(threading.active_count(), sum(len(m._forward_hooks) for m in model.nnsight._module.modules()))"
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
STORM = """async root => {
  const slider = root.querySelector('[role=slider], input[type=range]');
  const begun = performance.now();
  for (let n = 0; n < 1000; n++) {
    const up = Math.floor(n / 50) % 2 === 0;
    slider.dispatchEvent(new KeyboardEvent('keydown', { key: up ? 'ArrowRight' : 'ArrowLeft', bubbles: true }));
    const due = begun + 20 * (n + 1) - performance.now();
    if (due > 0) await new Promise(done => setTimeout(done, due));
  }
}"""


def test_a_thousand_moves_end_in_the_right_text(notebook: Notebook) -> None:
    notebook.run(PANEL, "import time; time.sleep(8)", wait=False)
    panel = notebook.panel()
    notebook.execute(COUNT)
    panel.slider.press("PageUp")
    panel.root.evaluate(STORM)
    panel.finish()
    notebook.idle()
    shown = panel.number("happy").input_value().replace("−", "-")
    assert float(notebook.execute("print(panel.run.plan[0].strength)")) == float(shown)
    assert text(panel.steered) == notebook.execute("print(panel.run.text, end='')")
    assert notebook.execute("print(most)") == "1\n"


def test_a_connection_that_drops_and_comes_back(notebook: Notebook) -> None:
    notebook.run(PANEL)
    panel = notebook.panel()
    panel.run.click()
    panel.await_text()
    kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    notebook.page.evaluate(f"{kernel}._ws.close()")
    panel.finish()
    panel.slider.press("PageUp")
    panel.finish()
    assert text(panel.steered) == notebook.execute("print(panel.run.text, end='')")
    assert notebook.execute("print(panel.run.plan[0].strength)") == "0.5\n"


def test_a_second_tab_on_the_same_notebook(notebook: Notebook) -> None:
    notebook.run(PANEL)
    first = notebook.panel()
    first.slider.press("PageUp")
    first.finish()
    notebook.command("docmanager:save")
    tab = Notebook.__new__(Notebook)
    tab.server, tab.name, tab.errors = notebook.server, notebook.name, []
    tab.page = notebook.page.context.new_page()
    try:
        tab.open()
        second = tab.panel()
        expect(second.number("happy")).to_have_value("+0.5")
        second.slider.press("PageUp")
        second.finish()
        first.finish()
        written = notebook.execute("print(panel.run.text, end='')")
        assert text(second.steered) == text(first.steered) == written
    finally:
        tab.page.close()


def test_nothing_is_left_behind(notebook: Notebook) -> None:
    def use() -> None:
        notebook.run(PANEL)
        panel = notebook.panel()
        panel.run.click()
        panel.finish()
        panel.root.get_by_role("button", name="Presets").click()
        expect(panel.root.get_by_label("Name of the preset")).to_be_visible()
        notebook.page.wait_for_function("window.kept.size === 1")
        notebook.execute("panel.close()")
        notebook.run("None")
        notebook.execute("import time; time.sleep(1)")

    notebook.page.evaluate(LISTENERS)
    use()  # what JupyterLab and its kernel set up for their first widget stays
    before = notebook.execute(f"import threading\n{LEFT}")
    for _ in range(3):
        use()
    assert notebook.execute(LEFT) == before
    assert notebook.page.evaluate("window.kept.size") == 0
