"""What has come of one run of a panel so far, in the messages that carry it to the page.

The page's end of these messages is `js/src/host/protocol.ts`.
"""

from __future__ import annotations

import math
import reprlib
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from steerkit_widgets._document import Document

PROTOCOL = 1
PARTS: tuple[str, ...] = ("baseline", "steered", "coefficients")


@dataclass(frozen=True)
class Failure:
    """An error in words for the panel: what happened, and the way back."""

    kind: str
    message: str
    hint: str


class Generation:
    """One run: three lists a seed that only grow, and how it ended.

    The worker writes it; the threads that answer the page read it. Items are numbered by their
    place, so that the page can put together what comes late, twice or not at all.

    Args:
        rid: Names the run. Its maker chooses it.
        document: What it is made from.
        after: The run in whose place it is written, with a change that came too late for that. A page may not have
            heard of this one yet.
    """

    def __init__(self, rid: str, document: Document, after: Generation | None = None) -> None:
        self.rid, self.document = rid, document
        self._names = {rid} if after is None else {rid, *after._names}
        self.cancelled = threading.Event()
        self.ended = threading.Event()
        self.change: Document | None = None
        self.parts: list[dict[str, list[Any]]] = [{part: [] for part in PARTS} for _ in document.seeds]
        self.end: dict[str, Any] | None = None
        self.seconds = 0.0
        self._began = time.perf_counter()
        self._lock = threading.Lock()

    def answers_to(self, rid: str) -> bool:
        """Whether a page that names a run means this one."""
        return rid in self._names

    def extend(self, sample: int, **parts: Iterable[Any]) -> bool:
        """Append to the lists of a seed; False, and nothing is appended, once the run has ended."""
        with self._lock:
            if self.end is not None:
                return False
            for part, items in parts.items():
                self.parts[sample][part].extend(items)
            self.seconds = time.perf_counter() - self._began
            return True

    def finish(self, stopped: Sequence[str], error: Failure | None = None) -> bool:
        """End the run with what there is; False if it had ended before.

        Args:
            stopped: Why the text of each seed is no longer; those that were not begun have no reason.
            error: What went wrong.
        """
        with self._lock:
            if self.end is not None:
                return False
            self.end = {
                "counts": [{part: len(items) for part, items in parts.items()} for parts in self.parts],
                "stopped": [*stopped, *["cancelled"] * (len(self.parts) - len(stopped))],
                "error": None if error is None else asdict(error),
            }
            return True

    def finish_unless_begun(self) -> bool:
        """End a run that waits for the model; a run that has tokens is left to the worker."""
        return not self.parts[0]["steered"] and self.finish([])

    def offer(self, change: Document) -> bool:
        """Have a document in force from the next token on; False, and it is not, once the run has ended."""
        with self._lock:
            if self.end is None:
                self.change = change
            return self.end is None

    def take_change(self) -> Document | None:
        """The document that is to be in force from the next token on, once."""
        with self._lock:
            change, self.change = self.change, None
            return change

    def started(self, *, anew: bool) -> dict[str, Any]:
        """The message that announces the run: that it starts now, or to a page that asks what is running."""
        return {"v": PROTOCOL, "rid": self.rid, "op": "start", "document": self.document.to_json(), "anew": anew}

    def none(self) -> list[dict[str, int]]:
        """How many items a page has that has none."""
        return [dict.fromkeys(PARTS, 0) for _ in self.parts]

    def since(self, have: Sequence[Mapping[str, int]]) -> dict[str, Any]:
        """The message with all that a page lacks which has `have` items of each list."""
        with self._lock:
            return {
                "v": PROTOCOL,
                "rid": self.rid,
                "op": "tokens",
                "parts": [
                    {part: [n[part], items[n[part] :]] for part, items in parts.items() if len(items) > n[part]}
                    for parts, n in zip(self.parts, have, strict=True)
                ],
                "seconds": self.seconds,
                "end": self.end,
            }

    def read_have(self, have: object) -> list[dict[str, int]]:
        """How many items of each list a page says it has.

        Raises:
            ValueError: It says something else.
        """
        counts = have if isinstance(have, list) and len(have) == len(self.parts) else []
        if not counts or not all(isinstance(n, dict) and all(type(n.get(p)) is int for p in PARTS) for n in counts):
            raise ValueError(
                f"The page sent have={reprlib.repr(have)}; a pull says how many items of each of {PARTS} it has."
            )
        return [{part: max(0, n[part]) for part in PARTS} for n in counts]


def json_row(values: Iterable[float | None]) -> list[float | None]:
    """Numbers for the page, which knows neither NaN nor infinity."""
    return [float(f"{v:.4g}") if v is not None and math.isfinite(v) else None for v in values]
