"""What has come of one run of a panel so far, in the messages that carry it to the page.

The page's end of these messages is `js/src/host/protocol.ts`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

PROTOCOL = 1
PARTS: tuple[str, ...] = ("baseline", "steered", "coefficients")


@dataclass(frozen=True)
class Settings:
    """What a run of a panel is made from."""

    prompt: str
    strengths: list[float]
    seed: int
    temperature: float
    max_new_tokens: int

    @classmethod
    def parse(cls, given: Any, n_sliders: int) -> Settings:
        """Settings as a page sends them.

        Only their form is checked here; steerkit says which values a run can have.

        Raises:
            ValueError: They are of another form.
        """
        number = (int, float)
        kinds = {"prompt": str, "strengths": list, "seed": int, "temperature": number, "max_new_tokens": int}
        for name, kind in kinds.items():
            value = given.get(name) if isinstance(given, dict) else None
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"The page sent {name}={value!r}.")
        strengths = given["strengths"]
        if len(strengths) != n_sliders or not all(isinstance(s, number) and math.isfinite(s) for s in strengths):
            raise ValueError(f"The page sent strengths={strengths!r} for {n_sliders} sliders.")
        return cls(**{name: given[name] for name in kinds})

    @property
    def baseline_key(self) -> tuple[str, int, float, int]:
        """Two settings with the same key have the same baseline: strengths do not enter."""
        return self.prompt, self.seed, self.temperature, self.max_new_tokens


@dataclass(frozen=True)
class Failure:
    """An error in words for the panel: what happened, and the way back."""

    kind: str
    message: str
    hint: str


class Generation:
    """One run: three lists that only grow, and how it ended.

    The worker writes it; the threads that answer the page read it. Items are numbered by their
    place, so that the page can put together what comes late, twice or not at all.

    Args:
        rid: Names the run. Its maker chooses it.
        settings: What it is made from.
    """

    def __init__(self, rid: str, settings: Settings) -> None:
        self.rid, self.settings = rid, settings
        self.cancelled = threading.Event()
        self.ended = threading.Event()
        self.parts: dict[str, list[Any]] = {part: [] for part in PARTS}
        self.end: dict[str, Any] | None = None
        self.seconds = 0.0
        self._began = time.perf_counter()
        self._lock = threading.Lock()

    def extend(self, **parts: Iterable[Any]) -> bool:
        """Append to the lists; False, and nothing is appended, once the run has ended."""
        with self._lock:
            if self.end is not None:
                return False
            for part, items in parts.items():
                self.parts[part].extend(items)
            self.seconds = time.perf_counter() - self._began
            return True

    def finish(self, stopped: str, error: Failure | None = None) -> bool:
        """End the run with what there is; False if it had ended before."""
        with self._lock:
            if self.end is not None:
                return False
            self.end = {
                "counts": {part: len(items) for part, items in self.parts.items()},
                "stopped": stopped,
                "error": None if error is None else asdict(error),
            }
            return True

    def finish_unless_begun(self) -> bool:
        """End a run that waits for the model; a run that has tokens is left to the worker."""
        return not self.parts["steered"] and self.finish("cancelled")

    def started(self) -> dict[str, Any]:
        """The message that announces the run."""
        return {"v": PROTOCOL, "rid": self.rid, "op": "start", "settings": asdict(self.settings)}

    def since(self, have: Mapping[str, int]) -> dict[str, Any]:
        """The message with all that a page lacks which has `have` items of each list."""
        with self._lock:
            return {
                "v": PROTOCOL,
                "rid": self.rid,
                "op": "tokens",
                "parts": {
                    part: [have[part], items[have[part] :]]
                    for part, items in self.parts.items()
                    if len(items) > have[part]
                },
                "seconds": self.seconds,
                "end": self.end,
            }

    def counts(self) -> dict[str, int]:
        """How many items each list has."""
        with self._lock:
            return {part: len(items) for part, items in self.parts.items()}


def json_row(values: Iterable[float]) -> list[float | None]:
    """Numbers for the page, which knows neither NaN nor infinity."""
    return [float(f"{value:.4g}") if math.isfinite(value) else None for value in values]
