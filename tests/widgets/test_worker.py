"""The thread of a widget: there while there are jobs, and no longer."""

from __future__ import annotations

import threading
import time

import pytest

from steerkit_widgets import _worker
from steerkit_widgets._worker import Worker


def threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def await_no_thread(name: str) -> None:
    end = time.monotonic() + 30
    while threads(name) and time.monotonic() < end:
        time.sleep(0.005)
    assert threads(name) == []


def test_an_idle_thread_ends_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "IDLE_SECONDS", 0.05)
    worker = Worker("idle")
    assert threads("idle") == [], "nobody has asked for anything yet"
    for _ in range(3):
        done = threading.Event()
        worker.submit(done.set)
        assert done.wait(30)
        await_no_thread("idle")


def test_a_failed_job_is_logged_and_the_next_is_done(caplog: pytest.LogCaptureFixture) -> None:
    worker, done = Worker("failing"), threading.Event()
    began = threading.Event()

    def fail() -> None:
        began.set()
        raise RuntimeError("no memory")

    worker.submit(fail)
    assert began.wait(30)
    worker.submit(done.set)
    assert done.wait(30)
    assert "no memory" in caplog.text
    worker.close()
    await_no_thread("failing")


def test_jobs_from_many_threads_are_never_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "IDLE_SECONDS", 0.0)  # the thread ends while jobs come
    worker = Worker("busy")
    for _ in range(300):
        done = threading.Event()
        worker.submit(done.set)
        assert done.wait(30)
    worker.close()
    await_no_thread("busy")


def test_the_newest_of_each_kind_is_done_in_the_order_of_arrival() -> None:
    worker, done, last = Worker("kinds"), [], threading.Event()
    began, free = threading.Event(), threading.Event()
    worker.submit(lambda: (began.set(), free.wait(30)), "measure")
    assert began.wait(30)
    for name in ("measure 1", "show 1", "measure 2"):
        worker.submit(lambda name=name: done.append(name), name[:-2], lambda name=name: done.append(f"no {name}"))
    worker.submit(last.set, "last")
    free.set()
    assert last.wait(30)
    assert done == ["no measure 1", "show 1", "measure 2"]
    worker.close()


def test_a_closed_one_takes_no_jobs() -> None:
    worker, done = Worker("closed"), threading.Event()
    worker.close()
    worker.submit(done.set)
    assert threads("closed") == []
    assert not done.is_set()
