"""Widgets whose page asks the kernel questions.

The page's end is `js/src/host/question.ts`.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from steerkit.errors import SteerkitError
from steerkit_widgets._base import Widget
from steerkit_widgets._generation import PROTOCOL
from steerkit_widgets._worker import Worker


class Answer(NamedTuple):
    """What a page gets: plain data, and bytes beside it."""

    result: Any
    buffers: Sequence[bytes] = ()


class QuestionError(ValueError):
    """What a page asks is of another form than the widget knows."""


class AskedWidget(Widget):
    """A widget that answers questions of its pages on a thread of its own; the newest of each operation counts."""

    _worker: Worker | None = None

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._worker = Worker(type(self).__name__)

    def questions(self) -> dict[str, Callable[[dict[str, Any]], Answer]]:
        """What a page may ask: for each operation, a function from its arguments to the answer."""
        raise NotImplementedError

    def close(self) -> None:
        """Take the widget off the page and end its thread."""
        if self._worker is not None:
            self._worker.close()
        super().close()

    def _answer(self, content: Any) -> None:
        message = content if isinstance(content, dict) else {}
        operation, rid, arguments = str(message.get("op")), message.get("rid"), message.get("args")
        answer = self.questions().get(operation)
        if answer is None or not isinstance(rid, str) or not isinstance(arguments, dict):
            known = ", ".join(self.questions())
            raise ValueError(f"The page sent {reprlib.repr(content)}; a {type(self).__name__} is asked for: {known}.")
        assert self._worker is not None
        # A kernel whose thread is at work is idle: without a word, the page would take it for one that restarted.
        self.send({"v": PROTOCOL, "rid": rid, "op": "taken"})
        self._worker.submit(
            lambda: self._reply(rid, answer, arguments),
            kind=operation,
            dropped=lambda: self._refuse(
                rid, "Overtaken", "A newer question took the place of this one before its turn came.", "Ask again."
            ),
        )

    def _reply(self, rid: str, answer: Callable[[dict[str, Any]], Answer], arguments: dict[str, Any]) -> None:
        try:
            result, buffers = answer(arguments)
        except QuestionError as error:
            self._refuse(rid, type(error).__name__, f"The page asked with {error}", "Reload the page.")
        except SteerkitError as error:
            self._refuse(rid, type(error).__name__, str(error), "")
        except Exception as error:
            self.log.error("A question of a widget's page failed.", exc_info=True)
            self._refuse(rid, type(error).__name__, f"{type(error).__name__}: {error}.", "What is shown here stays.")
        else:
            message = {"v": PROTOCOL, "rid": rid, "op": "answer", "result": result}
            self.send(message, buffers=list(buffers) or None)
