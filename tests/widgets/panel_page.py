"""A `SteeringPanel` without a page, for tests: it hears what a page sends, and keeps what it sends."""

from __future__ import annotations

import json
import time
from typing import Any

import torch

import steerkit as sk
import steerkit_widgets as skw

LONG = {"max_new_tokens": 200}


def vector(model: sk.Model, *sites: str, label: str = "joy", seed: int = 40) -> sk.Vector:
    noise = torch.Generator().manual_seed(seed)
    return sk.Vector({site: torch.randn(model.d_model, generator=noise) for site in sites}, label)


class Page(skw.SteeringPanel):
    """A panel whose messages go into a list."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        super().__init__(*args, **settings)

    def send(self, content: dict[str, Any], buffers: object = None) -> None:
        self.sent.append(content)

    def ask(self, **message: Any) -> None:
        self._on_message(self, {"v": 1, **message}, [])

    def document(self, strengths: list[float] | None = None, **changes: Any) -> dict[str, Any]:
        """What the screen asks for, with some things changed."""
        document = json.loads(json.dumps(self._document))
        for row, strength in zip(document["edits"], strengths or [], strict=False):
            row["edit"]["strength"] = strength
        for name, value in changes.items():
            (document["settings"] if name in document["settings"] else document)[name] = value
        return document

    def run_from_page(self, rid: str, strengths: list[float] | None = None, **changes: Any) -> None:
        self.ask(rid=rid, op="run", document=self.document(strengths, **changes))

    def gathered(self, rid: str, sample: int = 0) -> dict[str, list[Any]]:
        """The parts of a run as a page puts them together."""
        parts: dict[str, list[Any]] = {"baseline": [], "steered": [], "coefficients": []}
        for message in self.sent:
            if message["op"] == "tokens" and message["rid"] == rid:
                for part, (first, items) in message["parts"][sample].items():
                    assert first == len(parts[part]), "pushes follow on each other"
                    parts[part] += items
        return parts

    def reply(self, rid: str, seconds: float = 30) -> dict[str, Any]:
        """The answer to a question."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for message in self.sent:
                if message.get("rid") == rid and message["op"] in ("answer", "error"):
                    return message
            time.sleep(0.005)
        raise AssertionError(f"no answer to {rid}")
