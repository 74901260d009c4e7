"""A plan, a prompt and settings as a Python script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from steerkit import __version__, plan_json
from steerkit.errors import PlanError
from steerkit.operators import OPERATORS

if TYPE_CHECKING:
    from steerkit.circumstances import Circumstances
    from steerkit.plans import Plan
    from steerkit.runs import Settings


def script(plan: Plan, prompt: object, settings: Settings, made_with: Circumstances) -> str:
    """A script that loads the model, writes the text and prints it.

    Args:
        plan: The edits.
        prompt: Text, token ids or chat messages.
        settings: How tokens are chosen.
        made_with: Which model to load, and how.

    Raises:
        PlanError: The plan uses an operator of the user's own, whose code is not known.
    """
    own = [edit.operator for edit in plan if edit.operator not in OPERATORS]
    if own:
        raise PlanError(
            f"A script cannot hold the code of the operator {own[0]!r}. Save the recipe instead, and register the "
            "operator before you load it."
        )
    # Apostrophes, which would end the text in the script, stand inside JSON's strings only.
    written = json.dumps(plan_json.write(plan), indent=1, allow_nan=False).replace("'", r"\u0027")
    return "\n".join(
        [
            f"# Made by steerkit {__version__}.",
            *(f"# {line}" for line in plan.describe().replace("\0", "").splitlines()),
            "",
            "import steerkit as sk",
            "",
            f"PLAN = r'''{written}'''",
            "",
            _call("model = sk.load", [repr(made_with.model)], made_with.how_to_load()),
            "plan = sk.Plan.from_json(PLAN)",
            _call("run = model.generate", [repr(prompt), "plan"], asdict(settings)),
            "print(run.text)",
            "",
        ]
    )


def _call(function: str, first: list[str], named: Mapping[str, Any]) -> str:
    arguments = [*first, *(f"{name}={value!r}" for name, value in named.items() if value is not None)]
    return "\n".join([f"{function}(", *(f"    {argument}," for argument in arguments), ")"])
