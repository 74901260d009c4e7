"""Streams: a text that is handed out token by token while it is written."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.plans import EditsLike
    from steerkit.program import Column
    from steerkit.runs import Run

# A writer that waits for its reader looks this often, in seconds, whether somebody else wants the model.
GLANCE = 0.02


@dataclass(frozen=True)
class Token:
    """A new token: its id, its text (special tokens by name), its log-probability in nats, whether it is special."""

    token_id: int
    text: str
    logprob: float
    special: bool


@dataclass(frozen=True, eq=False)
class Step:
    """What one step of a stream wrote.

    Attributes:
        index: Position in the new text, from 0.
        steered: The steered text's token; None once that text has ended.
        baseline: The unsteered text's token; None without `baseline=True`, and once that text has ended.
        previous_coefficients: (n_columns,) coefficients at the steered token before this one, which was fed back in to
            write this one; None at index 0.
    """

    index: int
    steered: Token | None
    baseline: Token | None
    previous_coefficients: Float[Tensor, " n_columns"] | None

    @property
    def token_id(self) -> int | None:
        """The steered token's id; None if that text has ended."""
        return None if self.steered is None else self.steered.token_id

    @property
    def text(self) -> str:
        """The steered token's text; empty if that text has ended or the token is special."""
        return "" if self.steered is None or self.steered.special else self.steered.text


class Turns:
    """Lets one run at a time use a model, and knows whether another waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = threading.Lock()
        self._waiting = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the model."""
        with self._count:
            self._waiting += 1
        try:
            self._lock.acquire()
        finally:
            with self._count:
                self._waiting -= 1
        try:
            yield
        finally:
            self._lock.release()

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for the model."""
        return self._waiting > 0


class Pace:
    """What a stream's reader and writer share. The writer works on a token only once the reader wants it.

    It stops waiting, and writes on to the end, when another run wants the model, so that a stream left unread never
    holds the model for good.
    """

    def __init__(self, turns: Turns) -> None:
        self.changed = threading.Condition()
        self.steps: deque[Step] = deque()
        self.wanted = self.room = 1
        self.hurried = self.cancelled = self.done = False
        self.error: BaseException | None = None
        self._turns = turns

    def hand_over(self, step: Step) -> bool:
        """Called by the writer with each step; returns whether to go on."""
        with self.changed:
            if self.room:
                self.steps.append(step)
                self.room -= self.cancelled
            self.wanted -= 1
            self.changed.notify_all()
            while not (self.wanted > 0 or self.hurried or self.cancelled or self._turns.wanted):
                self.changed.wait(GLANCE)
            return not self.cancelled

    def finish(self, error: BaseException | None = None) -> None:
        """Called by the writer at the end."""
        with self.changed:
            self.done, self.error = True, error
            self.changed.notify_all()

    def cancel(self) -> None:
        """Called by the reader. Of steps that were written ahead of it, at most one is left."""
        with self.changed:
            if not self.cancelled:
                self.cancelled, self.room = True, 0 if self.steps else 1
                self.steps = deque(islice(self.steps, 1))
            self.changed.notify_all()


class Stream:
    """A text that is written as it is read: each token is computed when it is asked for.

    Iterate over it for `Step`s. It runs in a thread of its own. Made by `Model.stream`.
    """

    def __init__(
        self,
        turns: Turns,
        write: Callable[[Pace], tuple[Run, Run | None]],
        update: Callable[[EditsLike], None],
        columns: Callable[[], tuple[Column, ...]],
    ) -> None:
        self._pace = pace = Pace(turns)
        self._update, self._columns = update, columns
        results: list[tuple[Run, Run | None]] = []
        self._results = results

        def work() -> None:  # holds the pace, not the stream: a stream that is dropped is cancelled
            try:
                results.append(write(pace))
            except BaseException as error:
                pace.finish(error)
            else:
                pace.finish()

        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(work,), name="steerkit-stream", daemon=True)
        self._thread.start()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Step:
        pace = self._pace
        with pace.changed:
            if not pace.steps and not pace.done:
                pace.wanted = max(pace.wanted, 1)
                pace.changed.notify_all()
            while not pace.steps and not pace.done:
                pace.changed.wait()
            if pace.steps:
                return pace.steps.popleft()
        self._raise()
        raise StopIteration

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the columns of coefficients belong to."""
        return self._columns()

    def update(self, edits: EditsLike) -> None:
        """Go on under other edits, from the next token that is computed.

        Raises:
            SteerkitError: The edits do not fit the model; the text goes on under the old ones.
        """
        self._update(edits)

    def cancel(self) -> None:
        """End the text here. At most one more Step follows; the result has what was written ahead of the reader too."""
        self._pace.cancel()

    def result(self) -> Run:
        """The steered run; writes the text to its end first."""
        return self._finished()[0]

    def baseline_result(self) -> Run | None:
        """The unsteered run, with `baseline=True`; writes the text to its end first."""
        return self._finished()[1]

    def _finished(self) -> tuple[Run, Run | None]:
        pace = self._pace
        with pace.changed:
            pace.hurried = True
            pace.changed.notify_all()
            while not pace.done:
                pace.changed.wait()
        self._raise()
        return self._results[0]

    def _raise(self) -> None:
        if self._pace.error is not None:
            raise self._pace.error

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def __del__(self) -> None:
        if "_pace" in vars(self):
            self._pace.cancel()
