"""One thread that does the newest job and no other."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable

# A hand on a slider finds the thread waiting; a widget that nobody uses has none, as that of a cell which ran again.
IDLE_SECONDS = 5.0


class Worker:
    """A thread of its own for jobs of which only the newest counts; it is there while there are jobs.

    A job that waits when a newer one comes is dropped; one that is running is left to whoever
    submits to stop it.

    Args:
        name: Name of the thread, for those who look at one.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._wake = threading.Condition()
        self._next: Callable[[], None] | None = None
        self._alive = self._closed = False

    def submit(self, job: Callable[[], None]) -> None:
        """Do this job next, in place of any that waits."""
        # A thread has no context of its own. Without the caller's, ipykernel takes the last request
        # on any shell for what the thread's messages answer, and 7.4 then sends replies astray.
        context = contextvars.copy_context()
        with self._wake:
            self._next = lambda: context.run(job)
            if not self._alive and not self._closed:
                self._alive = True
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            self._wake.notify()

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
            self._wake.wait_for(lambda: self._next is not None or self._closed, IDLE_SECONDS)
            job, self._next = self._next, None
            self._alive = job is not None and not self._closed
            return job if self._alive else None
