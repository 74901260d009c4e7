"""What a panel hands out and takes in: Python scripts and recipes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from steerkit.circumstances import Circumstances
from steerkit.errors import PlanError
from steerkit.recipes import Recipe
from steerkit.script import script
from steerkit_widgets._document import Document, plain_prompt
from steerkit_widgets._incoming import check

if TYPE_CHECKING:
    import steerkit as sk
    from steerkit.dictionaries.dictionary import Dictionary

MIDWAY = (
    "This text was steered from a token in its middle on, which {} cannot say. Press Run without the kept beginning, "
    "and try again."
)


def script_of(model: sk.Model, plan: sk.Plan, document: Document) -> str:
    """A Python script that writes the text of the first seed.

    Raises:
        PlanError: The text is one that a script cannot write.
    """
    _refuse_midway(document, "a script")
    return script(plan, document.prompt, document.settings(document.seeds[0]), Circumstances.of(model, plan))


def recipe_of(model: sk.Model, run: sk.Run | None, document: Document | None) -> str:
    """The recipe of a text that was written from a document; of one that was stopped, as far as it came.

    Raises:
        PlanError: There is no text, or it is one that a recipe cannot repeat.
    """
    if run is None or document is None:
        raise PlanError("There is no text to save yet. Press Run first.")
    _refuse_midway(document, "a recipe")
    if run.stopped == "cancelled":
        run = replace(run, settings=replace(run.settings, max_new_tokens=len(run.token_ids)))
    return Recipe.of(model, run, document.prompt).to_json()


def recipe_in(text: str, dictionaries: Iterable[Dictionary]) -> Recipe:
    """The recipe in a file that a page has read.

    Raises:
        PlanError: It is no recipe, or has what no page can be sent: half a character, a number without bounds.
        SteerkitError: Something in it means nothing.
    """
    recipe = Recipe.from_json(text, dictionaries=dictionaries)
    try:
        check(json.loads(text))  # the page's message was looked at, not what is written within its text
    except ValueError as error:
        raise PlanError(f"The recipe cannot be shown in a panel. {error}") from error
    return recipe


def changes_of(recipe: Recipe) -> dict[str, Any]:
    """What a recipe changes of a document, but for the edits.

    Raises:
        PlanError: Its prompt is neither a text nor chat messages.
    """
    try:
        prompt = plain_prompt(recipe.prompt)  # type: ignore[arg-type]  # token ids are refused
    except TypeError as error:
        raise PlanError(f"The recipe cannot be shown in a panel: {error} Run it in Python.") from error
    settings = recipe.settings
    return {
        "prompt": prompt,
        "max_new_tokens": settings.max_new_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "seeds": (settings.seed,),
        "control": False,
        "before": (),
    }


def _refuse_midway(document: Document, what: str) -> None:
    if document.before:
        raise PlanError(MIDWAY.format(what))
