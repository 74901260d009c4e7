"""The runs of a panel: the newest counts, one at a time, told to the page as they come."""

from __future__ import annotations

import reprlib
import threading
import time
from collections.abc import Callable
from logging import Logger, LoggerAdapter
from typing import TYPE_CHECKING, Any

from steerkit.errors import SteerkitError
from steerkit_widgets._document import Document
from steerkit_widgets._generation import Failure, Generation
from steerkit_widgets._worker import Worker
from steerkit_widgets._writing import Pair, Writer

if TYPE_CHECKING:
    import steerkit as sk

PUSH_SECONDS = 1 / 30


class Running:
    """Runs of a panel, on a thread of its own.

    Args:
        writer: Writes the texts.
        send: Sends a message to the page.
        save: Keeps the finished texts where a reload and an export find them.
        log: Hears of errors that are not the user's.

    Attributes:
        pairs: The texts of the last run that ended or was stopped, a pair a seed.
        alternatives: What was measured of the steered ones.
        document: What they were made from.
    """

    OPERATIONS = ("run", "stop", "change", "pull", "join")

    def __init__(
        self,
        writer: Writer,
        send: Callable[[dict[str, Any]], None],
        save: Callable[[dict[str, Any]], None],
        log: Logger | LoggerAdapter[Any],
    ) -> None:
        self._writer, self._send, self._save, self._log = writer, send, save, log
        self._worker = Worker("steering-panel")
        self._current: Generation | None = None
        self._beginning = threading.Lock()
        self._closed = False
        self.pairs: list[Pair] = []
        self.alternatives: list[sk.Alternatives] = []
        self.document: Document | None = None

    def begin(self, document: Document, rid: str | None = None) -> None:
        """Start a run; one that is running gives way. Returns at once.

        Args:
            document: What is asked for.
            rid: Names the run, where a page has asked for it.

        Raises:
            RuntimeError: The panel is closed.
        """
        with self._beginning:
            self._begin(Generation(rid or _own_name(), document))

    def _begin(self, generation: Generation) -> None:
        if self._closed:
            raise RuntimeError("This panel is closed and writes no more texts. Make another: SteeringPanel(...).")
        previous, self._current = self._current, generation
        if previous is not None:
            previous.cancelled.set()
        self._send(generation.started(anew=True))
        # One that waits and gives way has nobody else to say that it has ended.
        self._worker.submit(lambda: self._generate(generation), dropped=generation.ended.set)

    def stop(self) -> None:
        """Stop what is running."""
        if (generation := self._current) is None:
            return
        generation.cancelled.set()
        if generation.finish_unless_begun():
            self._push(generation, generation.none())
            generation.ended.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is running; False if that took longer than `timeout` seconds."""
        due = None if timeout is None else time.monotonic() + timeout
        while (current := self._current) is not None:
            if not current.ended.wait(None if due is None else max(0.0, due - time.monotonic())):
                return False
            if self._current is current:
                break
        return True

    def close(self) -> None:
        """Stop, and end the thread."""
        with self._beginning:
            self._closed = True
        self.stop()
        self._worker.close()

    def answer(self, message: dict[str, Any]) -> None:
        """Do what a message of the page with one of `OPERATIONS` asks for.

        Raises:
            ValueError: It is of another form.
            SteerkitError: Its document is.
        """
        operation, rid, current = message["op"], message.get("rid"), self._current
        if operation == "join":
            if current is not None and current.end is None:
                self._tell_all(current)
        elif not isinstance(rid, str):
            raise ValueError(f"The page sent {reprlib.repr(message)}, which names no run.")
        elif operation == "run":
            self.begin(Document.read(message.get("document")), rid)
        elif operation == "change":
            self._change(rid, Document.read(message.get("document")))
        elif operation == "stop":
            if current is not None and current.answers_to(rid):
                self.stop()
        elif current is None or current.rid == rid:
            self._repair(current, message)
        else:
            self._tell_all(current)

    def _change(self, rid: str, change: Document) -> None:
        """Have a change in force in the run that a page means, or in the one that is written in its place."""
        while (current := self._current) is not None and current.answers_to(rid):
            if current.offer(change) or self._begin_again(current, change):
                break

    def _begin_again(self, generation: Generation, change: Document) -> bool:
        """Write the text anew with a change that came after its last token, unless it was stopped.

        Returns:
            Whether the run was still the one that counts.
        """
        with self._beginning:
            if self._current is not generation:
                return False
            if change.edits != generation.document.edits and not generation.cancelled.is_set():
                self._begin(Generation(_own_name(), change, after=generation))
            return True

    def _repair(self, current: Generation | None, message: dict[str, Any]) -> None:
        if current is None:
            raise ValueError(f"The page sent {reprlib.repr(message)}; there has been no run here. Press Run.")
        self._send(current.since(current.read_have(message.get("have"))))

    def _tell_all(self, generation: Generation) -> None:
        self._send(generation.started(anew=False))
        self._send(generation.since(generation.none()))

    def _generate(self, generation: Generation) -> None:
        """Work of the worker's thread, from the first token to the last word."""
        try:
            self._write(generation)
        finally:  # whoever waits for it must not wait for ever
            generation.ended.set()

    def _write(self, generation: Generation) -> None:
        have, due = generation.none(), 0.0

        def push() -> None:
            nonlocal due
            if (now := time.monotonic()) >= due:  # the first token at once
                self._push(generation, have)
                due = now + PUSH_SECONDS

        pairs: list[Pair] = []
        try:
            if not generation.cancelled.is_set():
                pairs = self._writer.write(generation, push)
        except Exception as error:
            if not isinstance(error, SteerkitError):
                self._log.error("The model failed in a steering panel.", exc_info=True)
            generation.finish([], _explain(error))
        # The run may have ended otherwise meanwhile, or another may count.
        ours = self._current is generation and generation.finish([pair.steered.stopped for pair in pairs])
        generation.finish([])
        if kept := ours and bool(pairs):
            # Before the page hears of the end: who reads them then finds what the page shows.
            self.pairs, self.alternatives, self.document = pairs, [], generation.document
        self._push(generation, have)
        if (change := generation.take_change()) is not None:
            self._begin_again(generation, change)
        if kept:
            self._measure(generation, pairs)

    def _measure(self, generation: Generation, pairs: list[Pair]) -> None:
        """Measure the texts, unless another run waits, and save them."""
        texts = [
            {**generation.parts[sample], "stopped": pair.steered.stopped, "measures": None}
            for sample, pair in enumerate(pairs)
        ]
        try:
            for text, pair in zip(texts, pairs, strict=True):
                if self._current is not generation:
                    break
                found, text["measures"] = self._writer.measured(pair, generation.document)
                self.alternatives.append(found)
        except Exception as error:  # what cannot be measured was written nevertheless
            if not isinstance(error, SteerkitError):
                self._log.error("A text of a steering panel could not be measured.", exc_info=True)
        measured = [pair._replace(steered=found.run) for pair, found in zip(pairs, self.alternatives, strict=False)]
        self.pairs = measured + pairs[len(measured) :]
        self._save(
            {
                "rid": generation.rid,
                "document": generation.document.to_json(),
                "samples": texts,
                "seconds": generation.seconds,
                "described": pairs[0].steered.plan.describe().splitlines(),
            }
        )

    def _push(self, generation: Generation, have: list[dict[str, int]]) -> None:
        if self._current is not generation:
            return
        message = generation.since(have)
        for n, parts in zip(have, message["parts"], strict=True):
            n.update({part: first + len(items) for part, (first, items) in parts.items()})
        self._send(message)


def _own_name() -> str:
    return f"python-{time.monotonic_ns()}"


def _explain(error: Exception) -> Failure:
    kind = type(error).__name__
    if isinstance(error, SteerkitError):
        return Failure(kind, str(error), "")
    return Failure(
        kind,
        f"The model stopped with an error: {kind}: {error}".rstrip(": .") + ".",
        "What was written stays; Run starts again.",
    )
