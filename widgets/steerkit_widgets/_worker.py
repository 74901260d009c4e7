"""One thread that does the newest job of each kind."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable
from typing import NamedTuple

# A hand on a slider finds the thread waiting; a widget that nobody uses has none, as that of a cell which ran again.
IDLE_SECONDS = 5.0


class Waiting(NamedTuple):
    """A job, and what is to happen if it is never done."""

    job: Callable[[], None]
    dropped: Callable[[], None]


class Worker:
    """A thread of its own for jobs, of which only the newest of each kind counts; it is there while there are jobs.

    A job that waits when a newer one of its kind comes is dropped; one that is running is left to
    whoever submits to stop it.

    Args:
        name: Name of the thread, for those who look at one.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._wake = threading.Condition()
        self._waiting: dict[str, Waiting] = {}  # by their kinds, the next one first
        self._alive = self._closed = False

    def submit(self, job: Callable[[], None], kind: str = "", dropped: Callable[[], None] = lambda: None) -> None:
        """Do this job after those that wait, in place of any of its kind.

        Args:
            job: The job.
            kind: What it does: of jobs that do the same, the newest counts.
            dropped: Called once a newer one has taken its place.
        """
        # A thread has no context of its own. Without the caller's, ipykernel takes the last request
        # on any shell for what the thread's messages answer, and 7.4 then sends replies astray.
        context = contextvars.copy_context()
        with self._wake:
            replaced = self._waiting.pop(kind, None)
            self._waiting[kind] = Waiting(lambda: context.run(job), dropped)
            if not self._alive and not self._closed:
                self._alive = True
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            self._wake.notify()
        if replaced is not None:
            replaced.dropped()

    def close(self) -> None:
        """End the thread once its running job has ended. Jobs that wait are dropped."""
        with self._wake:
            self._closed = True
            self._wake.notify()

    def _work(self) -> None:
        while (job := self._taken()) is not None:
            try:
                job()
            except Exception:
                logging.getLogger(__name__).exception("A job of the thread %r failed.", self._name)
            del job  # what it holds must not live until the next one comes

    def _taken(self) -> Callable[[], None] | None:
        """The next job, once there is one; None if the thread is to end."""
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._closed, IDLE_SECONDS)
            self._alive = bool(self._waiting) and not self._closed
            return self._waiting.pop(next(iter(self._waiting))).job if self._alive else None
