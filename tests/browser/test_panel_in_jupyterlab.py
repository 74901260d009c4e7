"""`SteeringPanel` in JupyterLab and Notebook 7, by real keys and a real mouse, on a real model."""

import re

import pytest
from harness import CALM, HELD, IN_NOTEBOOKS, PANEL, Notebook, Panel, await_text, text
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, IN_NOTEBOOKS]


@pytest.fixture
def panel(notebook: Notebook) -> Panel:
    notebook.run(PANEL)
    return notebook.panel()


def test_run_then_steer_by_keyboard(notebook: Notebook, panel: Panel) -> None:
    panel.run.press("Enter")
    panel.finish()
    baseline = text(panel.baseline)
    assert baseline
    assert text(panel.steered) == baseline == notebook.run_text(), "strength 0 is the identity"
    expect(panel.steered).to_contain_text(re.compile(r"\d+ tokens/s"))

    for key in ["PageUp", "PageUp", "ArrowRight"]:
        panel.slider.press(key)
    panel.finish()
    expect(panel.number("happy")).to_have_value("+1.1")
    notebook.await_printed("print(panel.plan[0].strength, panel.run.plan[0].strength)", "1.1 1.1\n")
    assert text(panel.steered) == notebook.run_text() != baseline
    assert text(panel.baseline) == baseline

    panel.slider.press("0")
    panel.finish()
    assert text(panel.steered) == baseline


def test_prompt_and_number_take_typing(notebook: Notebook, panel: Panel) -> None:
    panel.prompt.fill("The little dog")
    panel.number("happy").focus()
    notebook.page.keyboard.type("-2.5")
    panel.finish()
    panel.number("happy").press("+")
    panel.finish()
    expect(panel.number("happy")).to_have_value("−2.4")
    assert notebook.execute("print(panel.run.prompt.text, panel.run.plan[0].strength)") == "The little dog -2.4\n"
    notebook.page.keyboard.type("x")
    expect(panel.number("happy")).to_have_attribute("aria-invalid", "true")
    notebook.page.keyboard.press("Escape")
    expect(panel.number("happy")).to_have_value("−2.4")


def test_newest_position_wins_under_the_mouse(notebook: Notebook, panel: Panel) -> None:
    box = panel.slider.bounding_box()
    assert box
    middle, mouse = box["y"] + box["height"] / 2, notebook.page.mouse
    mouse.move(box["x"] + box["width"] / 2, middle)
    mouse.down()
    for share in range(50, 96):
        mouse.move(box["x"] + box["width"] * share / 100, middle)
    mouse.up()
    panel.finish()
    shown = float(panel.number("happy").input_value())
    assert shown > 2
    assert float(notebook.execute("print(panel.run.plan[0].strength)")) == shown
    assert text(panel.steered) == notebook.run_text()
    panel.slider.dblclick()
    panel.finish()
    expect(panel.number("happy")).to_have_value("0")


SLOW = """
import time
class Slow:
    def __init__(self, stream): self.stream = stream
    def __getattr__(self, name): return getattr(self.stream, name)
    def __iter__(self):
        for step in self.stream:
            time.sleep(0.05)
            yield step
class SlowModel:
    def __getattr__(self, name): return getattr(model, name)
    def stream(self, *a, **k): return Slow(model.stream(*a, **k))
panel._writer._model = SlowModel()
"""


def test_stop_and_go_on(notebook: Notebook, panel: Panel) -> None:
    notebook.execute(SLOW)
    panel.run.click()
    panel.await_text()
    panel.stop.click()
    panel.finish()
    assert text(panel.steered) == notebook.run_text()
    assert notebook.execute("print(panel.run.stopped)") == "cancelled\n"
    expect(panel.steered).to_contain_text("stopped")
    notebook.execute("panel._writer._model = model")
    panel.run.click()
    panel.finish()
    assert notebook.execute("print(panel.run.stopped)") == "length\n"


def test_second_view_and_reload(notebook: Notebook, panel: Panel) -> None:
    notebook.run(PANEL, "panel")
    first, second = notebook.panel(0), notebook.panel(1)
    first.slider.press("PageUp")
    first.finish()
    expect(second.number("happy")).to_have_value("+0.5")
    assert text(first.steered) == text(second.steered) == notebook.run_text()
    notebook.await_printed("print(panel.plan[0].strength)", "0.5\n")

    notebook.command("docmanager:save")
    notebook.open()
    again = notebook.panel()
    expect(again.number("happy")).to_have_value("+0.5")
    await_text(again.steered, notebook.run_text())
    again.slider.press("PageUp")
    again.finish()
    assert text(again.steered) == notebook.run_text()
    undo = again.root.get_by_role("button", name="Undo")
    undo.click()
    undo.click()  # what was done before the reload
    expect(again.number("happy")).to_have_value("0")
    expect(undo).to_be_disabled()
    again.root.get_by_role("button", name="Redo").click()
    expect(again.number("happy")).to_have_value("+0.5")


def test_python_drives_the_page(notebook: Notebook, panel: Panel) -> None:
    notebook.execute("panel.prompt, panel.plan = 'Tom and his dog', joy.add(1.5); panel.start(); panel.wait(60)")
    expect(panel.prompt).to_have_value("Tom and his dog")
    expect(panel.number("happy")).to_have_value("+1.5")
    await_text(panel.steered, notebook.run_text())


def test_two_panels_on_one_model(notebook: Notebook) -> None:
    notebook.run(PANEL, PANEL.replace("panel", "other").replace("Mia", "Tom"))
    panels = [notebook.panel(0), notebook.panel(1)]
    for panel in panels:
        panel.slider.press("PageUp")
    for panel, name in zip(panels, ["panel", "other"], strict=True):
        panel.finish()
        assert text(panel.steered) == notebook.run_text(name)


def test_works_while_a_cell_is_running(notebook: Notebook, release: None) -> None:
    notebook.run(PANEL, HELD, wait=False)
    panel = notebook.panel()
    panel.slider.press("PageUp")
    panel.finish()
    shown = text(panel.steered)
    assert not notebook.page.evaluate("window.allRun"), "the cell should still be running"
    notebook.release()
    notebook.idle()
    assert text(panel.steered) == notebook.run_text() == shown != ""


def test_says_that_the_kernel_is_busy(notebook: Notebook, release: None) -> None:
    # As in hosts without subshells: the kernel answers once the cell has ended.
    notebook.run(f"{PANEL}\ndel panel.comm._reply_subshell_for\npanel", HELD, wait=False)
    panel = notebook.panel()
    panel.run.click()
    expect(panel.status).to_contain_text("a cell is running")
    notebook.release()
    panel.await_text()
    expect(panel.status).to_have_text("")


def test_says_what_is_wrong_with_a_setting(notebook: Notebook, panel: Panel) -> None:
    panel.run.click()
    panel.finish()
    before = text(panel.steered)
    panel.root.get_by_label("length").fill("100000")
    panel.run.click()
    panel.finish()
    expect(panel.alert).to_contain_text("100000")
    assert text(panel.steered) == before
    panel.root.get_by_label("length").fill("20")
    panel.run.click()
    panel.finish()
    expect(panel.alert).to_have_count(0)
    assert text(panel.steered) == notebook.run_text()


BREAK = """
class Broken:
    def __init__(self, stream): self.stream = stream
    def __getattr__(self, name): return getattr(self.stream, name)
    def __iter__(self):
        for step in self.stream:
            if step.index == 5: raise RuntimeError("the graphics card is out of memory")
            yield step
class BrokenModel:
    def __getattr__(self, name): return getattr(model, name)
    def stream(self, *a, **k): return Broken(model.stream(*a, **k))
panel._writer._model = BrokenModel()
panel.log.disabled = True
"""


def test_an_error_in_the_model_keeps_the_text_and_the_panel(notebook: Notebook, panel: Panel) -> None:
    notebook.execute(BREAK)
    panel.run.click()
    expect(panel.alert).to_contain_text("out of memory")
    expect(panel.steered.get_by_role("listitem")).to_have_count(5)
    notebook.execute("panel._writer._model = model; panel.log.disabled = False")
    panel.run.click()
    panel.finish()
    expect(panel.alert).to_have_count(0)
    assert text(panel.steered) == notebook.run_text()


def test_keys_do_not_reach_the_notebook(notebook: Notebook, panel: Panel) -> None:
    panel.root.get_by_role("button", name="happy: more").click()
    controls = panel.root.locator("input:not([hidden]), button:enabled, textarea, select").all()
    assert len(controls) > 25
    for control in controls:
        control.focus()
        notebook.page.keyboard.type("dd")
    expect(notebook.page.locator(".jp-Notebook .jp-Cell")).to_have_count(2)
    expect(panel.root).to_be_visible()


def test_hundred_restarts_lose_and_repeat_nothing(notebook: Notebook, panel: Panel) -> None:
    for burst in range(20):
        for press in range(5):
            panel.slider.press("ArrowRight" if burst % 4 < 2 else "ArrowLeft")
            notebook.page.wait_for_timeout(110 + 17 * ((burst + press) % 5))  # some are cut short, some end
        panel.finish()
        assert text(panel.steered) == notebook.run_text()
        shown = panel.number("happy").input_value().replace("−", "-")
        assert float(notebook.execute("print(panel.run.plan[0].strength)")) == float(shown)


def test_tokens_can_be_walked_along(notebook: Notebook, panel: Panel) -> None:
    panel.run.click()
    panel.finish()
    tokens = panel.steered.get_by_role("listitem")
    tokens.first.focus()
    notebook.page.keyboard.press("ArrowRight")
    expect(tokens.nth(1)).to_be_focused()
    card = panel.root.get_by_role("tooltip")
    expect(card).to_contain_text("token 2")
    expect(card).to_contain_text(re.compile(r"happy[+−]?\d"))
    assert tokens.nth(1).get_attribute("aria-describedby") == card.get_attribute("id")


@pytest.mark.parametrize("width", [1280, 900, 640])
def test_fits_where_it_stands(notebook: Notebook, width: int) -> None:
    notebook.run(
        CALM,
        "panel = skw.SteeringPanel(model, [joy, calm, joy, calm], 'Once upon a time ' * 20, 200)\npanel",
    )
    panel = notebook.panel()
    panel.run.click()
    panel.finish()
    notebook.page.set_viewport_size({"width": width, "height": 1000})
    try:
        height, overflow = panel.root.evaluate("root => [root.offsetHeight, root.scrollWidth - root.clientWidth]")
        sliders = [slider.bounding_box()["width"] for slider in panel.slider.all()]
    finally:
        notebook.page.set_viewport_size({"width": 1280, "height": 1000})
    assert height <= 760
    assert overflow <= 0
    assert min(sliders) >= 160


def test_kernel_restart(notebook: Notebook, panel: Panel) -> None:
    panel.run.click()
    panel.finish()
    before = text(panel.steered)
    notebook.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    notebook.idle()
    panel.run.click()
    expect(panel.status).to_contain_text("Run the cell again")
    assert text(panel.steered) == before
    notebook.command("notebook:run-all-cells")
    notebook.idle()
    again = notebook.panel()
    again.run.click()
    again.finish()
    assert text(again.steered) == notebook.run_text() == before
