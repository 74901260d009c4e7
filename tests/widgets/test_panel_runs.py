"""When the runs of a `SteeringPanel` end, whatever comes between: other runs, errors, late changes, its own end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from panel_page import Page

from steerkit.errors import EditError
from steerkit_widgets._generation import Generation


class Gate:
    """Holds every run up before its first token, until it is opened."""

    def __init__(self, panel: Page, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self._open = threading.Semaphore(0), threading.Semaphore(0)
        stream = panel._model.stream

        def held(*arguments: Any, **settings: Any) -> Any:
            self.reached.release()
            assert self._open.acquire(timeout=30)
            return stream(*arguments, **settings)

        monkeypatch.setattr(panel._model, "stream", held)

    def wait(self) -> None:
        """Wait until a run stands before the gate."""
        assert self.reached.acquire(timeout=30)

    def let(self, n: int) -> None:
        """Let so many runs through."""
        self._open.release(n)


class Waiting(threading.Thread):
    """A thread that waits for a panel."""

    def __init__(self, panel: Page) -> None:
        super().__init__(daemon=True)
        self._panel, self.ended = panel, None
        self.start()

    def run(self) -> None:
        self.ended = self._panel.wait(30)


@pytest.fixture
def gate(panel: Page, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(panel, monkeypatch)


def test_who_waits_for_a_run_that_gives_way_waits_for_the_one_that_counts(panel: Page, gate: Gate) -> None:
    panel.run_from_page("a")
    gate.wait()
    panel.run_from_page("b")  # it waits for the model, and gives way before it begins
    overtaken = panel._running._current
    during = [Waiting(panel)]
    panel.run_from_page("c", [2.0])
    assert overtaken.ended.wait(30)
    during.append(Waiting(panel))
    gate.let(1)
    gate.wait()  # "a" has ended, and "c" begins
    for thread in during:
        thread.join(0.1)
        assert thread.is_alive(), "a text is being written"
    assert not panel.wait(0.01)
    gate.let(1)
    for thread in during:
        thread.join(30)
        assert thread.ended
    assert panel.run.plan[0].strength == 2


@pytest.mark.parametrize(("error", "logged"), [(EditError("no"), False), (RuntimeError("out of memory"), True)])
def test_a_text_that_cannot_be_measured_is_kept(
    panel: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, logged: bool
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(panel._writer, "measured", fail)
    panel.run_from_page("a")
    assert panel.wait(30)
    (sample,) = panel._texts["samples"]
    assert "".join(sample["steered"]) == panel.run.text
    assert sample["measures"] is None
    assert ("could not be measured" in caplog.text) == logged


def test_a_run_that_cannot_be_saved_ends(panel: Page) -> None:
    panel._running._save = lambda texts: 1 / 0
    panel.run_from_page("a")
    assert panel.wait(30)


def test_a_closed_panel_writes_no_more(panel: Page) -> None:
    panel.close()
    with pytest.raises(RuntimeError, match="This panel is closed"):
        panel.start()
    assert panel.wait(30)


@pytest.mark.parametrize("when", ["write", "measured"])
def test_a_change_that_comes_after_the_last_token_is_written_anew(
    panel: Page, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    do, changes = getattr(panel._writer, when), iter([4.0, 4.0, None])

    def late(*arguments: Any) -> Any:
        done = do(*arguments)
        if (strength := next(changes)) is not None:
            rid = panel._running._current.rid
            panel.ask(rid=rid, op="change", document=panel.document([strength]))
        return done

    monkeypatch.setattr(panel._writer, when, late)
    panel.run_from_page("a")
    assert panel.wait(30)
    runs = [message["rid"] for message in panel.sent if message["op"] == "start"]
    assert len(runs) == 2, "once: what the second ends with is what was asked for"
    assert panel.run.plan[0].strength == 4
    assert "".join(panel.gathered(runs[1])["steered"]) == panel.run.text
    assert panel._texts["document"]["before"] == []


def hook(owner: Any, name: str, monkeypatch: pytest.MonkeyPatch, *after: Callable[[], Any]) -> None:
    """Do one of these after each call of a method, as long as there are any."""
    do, left = getattr(owner, name), iter(after)

    def hooked(*arguments: Any) -> Any:
        done = do(*arguments)
        next(left, lambda: None)()
        return done

    monkeypatch.setattr(owner, name, hooked)


def change(panel: Page, strength: float, rid: str = "a") -> None:
    panel.ask(rid=rid, op="change", document=panel.document([strength]))


def test_a_change_reaches_a_text_that_is_written_anew_by_the_name_of_the_old(
    panel: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook(panel._writer, "write", monkeypatch, lambda: change(panel, 4.0))
    hook(panel._running, "_begin_again", monkeypatch, lambda: change(panel, 5.0))  # the second waits for the model
    panel.run_from_page("a")
    assert panel.wait(30)
    assert panel.run.plan[0].strength == 5
    assert panel._texts["document"]["before"] == [], "from the first token on"
    assert len([message for message in panel.sent if message["op"] == "start"]) == 2


def test_a_page_may_say_a_change_again_once_it_hears_of_the_text_that_is_written_anew(
    panel: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again() -> None:
        change(panel, 5.0)
        change(panel, 5.0, panel._running._current.rid)

    extend = Generation.extend

    def extending(generation: Generation, *arguments: Any, **parts: Any) -> bool:
        if generation.rid != "a" and parts.get("steered"):
            again()  # at each of its tokens
        return extend(generation, *arguments, **parts)

    monkeypatch.setattr(Generation, "extend", extending)
    hook(panel._writer, "write", monkeypatch, lambda: change(panel, 4.0))
    panel.run_from_page("a")
    assert panel.wait(30)
    assert panel.run.plan[0].strength == 5
    assert [stage["until"] for stage in panel._texts["document"]["before"]] == [1], "it changes once"


def test_a_text_that_is_written_anew_is_stopped_by_the_name_of_the_old(
    panel: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook(panel._writer, "write", monkeypatch, lambda: change(panel, 4.0))
    hook(panel._running, "_begin_again", monkeypatch, lambda: panel.ask(rid="a", op="stop"))
    panel.run_from_page("a")
    assert panel.wait(30)
    assert panel._running._current.end["stopped"] == ["cancelled"]


def test_a_change_that_comes_as_the_text_is_written_anew_is_not_lost(
    panel: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer, push, late = Generation.offer, panel._running._push, iter([5.0])

    def offered(generation: Generation, change: Any) -> bool:
        taken = offer(generation, change)
        if not taken and (waiting := generation.take_change()) is not None:
            panel._running._begin_again(generation, waiting)  # as the other thread may at this moment
        return taken

    def pushed(generation: Generation, have: Any) -> None:
        push(generation, have)
        if generation.end is not None and (strength := next(late, None)) is not None:
            change(panel, strength)

    monkeypatch.setattr(Generation, "offer", offered)
    monkeypatch.setattr(panel._running, "_push", pushed)
    hook(panel._writer, "write", monkeypatch, lambda: change(panel, 4.0))
    panel.run_from_page("a")
    assert panel.wait(30)
    assert panel.run.plan[0].strength == 5


def test_a_change_that_waits_for_a_text_that_fails_is_written(panel: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        change(panel, 4.0)
        raise EditError("no")

    hook(panel._writer, "write", monkeypatch, fail)
    panel.run_from_page("a")
    assert panel.wait(30)
    assert panel.run.plan[0].strength == 4


def test_a_change_does_not_start_a_text_that_was_stopped(panel: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    write = panel._writer.write

    def stopped(*arguments: Any) -> Any:
        done = write(*arguments)
        panel.ask(rid="a", op="change", document=panel.document([4.0]))
        panel.ask(rid="a", op="stop")
        return done

    monkeypatch.setattr(panel._writer, "write", stopped)
    panel.run_from_page("a")
    assert panel.wait(30)
    assert panel.run.plan[0].strength == 0
