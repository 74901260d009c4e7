"""One thread that does the newest job and no other."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable


class Worker:
    """A thread of its own for jobs of which only the newest counts.

    A job that waits when a newer one comes is dropped; one that is running is left to whoever
    submits to stop it.

    Args:
        name: Name of the thread, for those who look at one.
    """

    def __init__(self, name: str) -> None:
        self._wake = threading.Condition()
        self._next: Callable[[], None] | None = None
        self._closed = False
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, job: Callable[[], None]) -> None:
        """Do this job next, in place of any that waits."""
        # A thread has no context of its own. Without the caller's, ipykernel takes the last request
        # on any shell for what the thread's messages answer, and 7.4 then sends replies astray.
        context = contextvars.copy_context()
        with self._wake:
            self._next = lambda: context.run(job)
            self._wake.notify()

    def close(self) -> None:
        """End the thread once its running job has ended. Jobs that wait are dropped."""
        with self._wake:
            self._closed = True
            self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._next is not None or self._closed)
                job, self._next = self._next, None
                if job is None or self._closed:
                    return
            job()
            del job  # what it holds must not live until the next one comes
