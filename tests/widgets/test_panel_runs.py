"""When the runs of a `SteeringPanel` end, whatever comes between: other runs, errors, late changes, its own end."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from panel_page import Page

from steerkit.errors import EditError


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
