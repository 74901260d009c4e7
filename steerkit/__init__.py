"""steerkit: read and steer the features of a language model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steerkit import errors, learn
    from steerkit.edits import Edit, Plan, Where
    from steerkit.model import Model, load
    from steerkit.reading import Reading
    from steerkit.runs import Comparison, Run, Sweep
    from steerkit.sites import Site
    from steerkit.streams import Step, Stream, Token
    from steerkit.tokens import Prompt
    from steerkit.vectors import Vector

__version__ = "0.1.0"

# Loaded when first used, so that `import steerkit` costs milliseconds and not torch.
_HOMES = {
    "Comparison": "runs",
    "Edit": "edits",
    "Model": "model",
    "Plan": "edits",
    "Prompt": "tokens",
    "Reading": "reading",
    "Run": "runs",
    "Site": "sites",
    "Step": "streams",
    "Stream": "streams",
    "Sweep": "runs",
    "Token": "streams",
    "Vector": "vectors",
    "Where": "edits",
    "load": "model",
}
_MODULES = ("errors", "learn")

__all__ = [
    "Comparison",
    "Edit",
    "Model",
    "Plan",
    "Prompt",
    "Reading",
    "Run",
    "Site",
    "Step",
    "Stream",
    "Sweep",
    "Token",
    "Vector",
    "Where",
    "errors",
    "learn",
    "load",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"steerkit.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"steerkit.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'steerkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
