"""Plans as requests to Neuronpedia's steering API, as far as they can be said there.

Neuronpedia adds `strength * û` to the residual stream at every token, special ones included, `û` being the feature's
decoder row at length 1 (top-k dictionaries: as it stands). See https://neuronpedia.org/api-doc, Steering.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerkit.dictionaries import catalog
from steerkit.dictionaries.activations import TopK
from steerkit.dictionaries.feature import Feature
from steerkit.errors import PlanError
from steerkit.where import EVERYWHERE

if TYPE_CHECKING:
    from steerkit.edits import Edit
    from steerkit.plans import Plan
    from steerkit.runs import Settings

# Limits of the API.
LONGEST_PROMPT = 2048  # characters
HIGHEST_TEMPERATURE = 2.0
LARGEST_SEED = 10**8
LOWEST_STRENGTH = -300.0
KINDS = ("resid_pre", "resid_post", "z")


def request(
    plan: Plan, prompt: str | Sequence[int] | Sequence[Mapping[str, str]], settings: Settings, model: str
) -> dict[str, Any]:
    """The body of a request: for `/api/steer` where the prompt is text, for `/api/steer-chat` where it is a chat.

    Edits that are off are left out. A text is steered at special tokens too, whatever the edits say: the API cannot
    leave them out. Its noise is another, so a sampled text differs from the one here.

    Args:
        plan: The edits.
        prompt: Text, token ids or chat messages.
        settings: How tokens are chosen.
        model: Name of the model. Neuronpedia runs the one that the features belong to; where this is the name of
            another repository, the request is refused.

    Raises:
        PlanError: An edit or a setting cannot be said there.
    """
    edits = [edit for edit in plan if edit.enabled]
    if plan.actions or plan.preserve_norm or not edits:
        odd = [f"'{action}'" for action in plan.actions] + ["preserving the norm"] * plan.preserve_norm
        raise PlanError(f"Neuronpedia steers with features and nothing else; it cannot do {odd or ['nothing']}.")
    features = [_feature(edit, model) for edit in edits]
    models = {feature["modelId"] for feature in features}
    if len(models) > 1:
        raise PlanError(
            f"Neuronpedia steers one model at a time; these features belong to {', '.join(sorted(models))}."
        )
    body = {
        "modelId": models.pop(),
        "features": features,
        "temperature": settings.temperature,
        "n_tokens": settings.max_new_tokens,
        "freq_penalty": 0.0,
        "seed": settings.seed,
        "strength_multiplier": 1.0,
        "steer_method": "SIMPLE_ADDITIVE",
    }
    _check(settings)
    if isinstance(prompt, str):
        _check_length(prompt)
        return {"prompt": prompt, **body}
    messages = [dict(message) for message in prompt if isinstance(message, Mapping)]
    if len(messages) != len(prompt):
        raise PlanError("Neuronpedia takes text or chat messages, no token ids. Make the recipe with one of those.")
    _check_length("".join(message["content"] for message in messages))
    special = {edit.where.special for edit in edits}
    if len(special) > 1:
        raise PlanError(
            "Neuronpedia steers special tokens by all features or by none. Give all edits the same special=."
        )
    chats = {"defaultChatMessages": messages, "steeredChatMessages": messages}
    return {**chats, "steer_special_tokens": special.pop(), **body}


def _feature(edit: Edit, model: str) -> dict[str, Any]:
    if edit.operator != "add" or not isinstance(edit.target, Feature):
        raise _refused(edit, "it can only add features of its own dictionaries")
    if edit.when is not None or not edit.direct or replace(edit.where, special=False) != EVERYWHERE:
        raise _refused(edit, "it steers every token, always, and leaves what it adds")
    dictionary = edit.target.dictionary
    entry = catalog.lookup(dictionary.name)
    if entry is None or not entry.labels:
        raise _refused(edit, f"the catalog knows no dictionary of Neuronpedia's that is called {dictionary.name!r}")
    if "/" in model and not Path(model).exists() and Path(model).name.lower() != Path(entry.model).name.lower():
        raise _refused(edit, f"it steers {entry.model} with this feature, and the recipe steers {model}")
    if dictionary.site_in != dictionary.site_out or dictionary.writes_at().kind not in KINDS:
        raise _refused(edit, f"it writes features at {', '.join(KINDS)} alone, where they are read")
    model_id, _, source = entry.labels.partition("/")
    strength = _strength(edit, edit.target)
    if strength < LOWEST_STRENGTH:
        raise _refused(edit, f"its strength would be {strength:.4g} there, where {LOWEST_STRENGTH:g} is the lowest")
    return {"modelId": model_id, "layer": source, "index": edit.target.index, "strength": strength}


def _strength(edit: Edit, feature: Feature) -> float:
    """Length of what is added."""
    parts = feature.dictionary.parts
    row = 1.0 if isinstance(parts.activation, TopK) else feature.decoder_norm
    if edit.unit == "norm":
        raise _refused(edit, "it knows no fraction of a token's norm")
    if edit.unit == "residual":
        return edit.strength * row / feature.decoder_norm
    if parts.normalisation != "none":
        raise _refused(edit, "its dictionary scales what it writes by each token; give the strength as unit='residual'")
    if edit.unit == "raw":
        return edit.strength * row
    if feature.max_activation is None:
        raise _refused(edit, "the feature's maximum is not known; calibrate its dictionary, or use unit='raw'")
    return edit.strength * feature.max_activation * row


def _check(settings: Settings) -> None:
    if settings.top_p != 1:
        raise PlanError(f"Neuronpedia has no top_p, which is {settings.top_p:g} here. Make the recipe with top_p=1.")
    if settings.temperature > HIGHEST_TEMPERATURE:
        raise PlanError(f"Neuronpedia's temperatures end at {HIGHEST_TEMPERATURE:g}; this is {settings.temperature:g}.")
    if settings.seed > LARGEST_SEED:
        raise PlanError(f"Neuronpedia's seeds end at {LARGEST_SEED}; this one is {settings.seed}.")


def _check_length(text: str) -> None:
    if len(text) > LONGEST_PROMPT:
        raise PlanError(f"Neuronpedia's prompts end at {LONGEST_PROMPT} characters; this one has {len(text)}.")


def _refused(edit: Edit, reason: str) -> PlanError:
    return PlanError(f"Neuronpedia cannot do '{edit}': {reason}. Leave it out of the plan.")
