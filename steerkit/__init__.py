"""steerkit: read and steer the features of a language model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from steerkit.collection import postponed

__version__ = "0.1.0"

if TYPE_CHECKING:
    from steerkit import embeddings, errors, learn
    from steerkit.actions import Call, StopText
    from steerkit.align import References
    from steerkit.alignment import Alignment
    from steerkit.alternatives import Alternatives
    from steerkit.conditions import Condition
    from steerkit.contrasts import Contrast, contrast
    from steerkit.controls import random_control
    from steerkit.dictionaries import catalog
    from steerkit.dictionaries.calibration import Calibration
    from steerkit.dictionaries.codes import Codes
    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.dictionaries.feature import Feature
    from steerkit.dictionaries.load import load_dictionary
    from steerkit.dictionaries.self_test import SelfTest
    from steerkit.edits import Edit
    from steerkit.grids import Grid, grid
    from steerkit.model import Model, load
    from steerkit.operators import register_operator
    from steerkit.plans import Plan
    from steerkit.reading import Reading
    from steerkit.recipes import Recipe, Replay
    from steerkit.runs import Comparison, Run, Sweep
    from steerkit.sites import Site
    from steerkit.streams import Step, Stream, Token
    from steerkit.tokens import Prompt
    from steerkit.vectors.vector import Vector
    from steerkit.where import Where

# Loaded when first used, so that `import steerkit` costs milliseconds and not torch.
_HOMES = {
    "Alignment": "alignment",
    "Alternatives": "alternatives",
    "Call": "actions",
    "Calibration": "dictionaries.calibration",
    "Codes": "dictionaries.codes",
    "Comparison": "runs",
    "Condition": "conditions",
    "Contrast": "contrasts",
    "Dictionary": "dictionaries.dictionary",
    "Edit": "edits",
    "Feature": "dictionaries.feature",
    "Grid": "grids",
    "Model": "model",
    "Plan": "plans",
    "Prompt": "tokens",
    "Reading": "reading",
    "Recipe": "recipes",
    "Replay": "recipes",
    "References": "align",
    "Run": "runs",
    "SelfTest": "dictionaries.self_test",
    "Site": "sites",
    "Step": "streams",
    "StopText": "actions",
    "Stream": "streams",
    "Sweep": "runs",
    "Token": "streams",
    "Vector": "vectors.vector",
    "Where": "where",
    "contrast": "contrasts",
    "grid": "grids",
    "load": "model",
    "load_dictionary": "dictionaries.load",
    "random_control": "controls",
    "register_operator": "operators",
}
_MODULES = {"catalog": "dictionaries.catalog", "embeddings": "embeddings", "errors": "errors", "learn": "learn"}

__all__ = [
    "Alignment",
    "Alternatives",
    "Calibration",
    "Call",
    "Codes",
    "Comparison",
    "Condition",
    "Contrast",
    "Dictionary",
    "Edit",
    "Feature",
    "Grid",
    "Model",
    "Plan",
    "Prompt",
    "Reading",
    "Recipe",
    "References",
    "Replay",
    "Run",
    "SelfTest",
    "Site",
    "Step",
    "StopText",
    "Stream",
    "Sweep",
    "Token",
    "Vector",
    "Where",
    "catalog",
    "contrast",
    "embeddings",
    "errors",
    "grid",
    "learn",
    "load",
    "load_dictionary",
    "random_control",
    "register_operator",
]


@postponed()
def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"steerkit.{_MODULES[name]}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"steerkit.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'steerkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
