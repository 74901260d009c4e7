"""From a path to `Parts`: which publisher's format it is, by its files or as named."""

from __future__ import annotations

import os
from dataclasses import replace
from types import ModuleType
from typing import Any

from steerkit.dictionaries.formats import (
    axbench,
    circuit_tracer,
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    goodfire,
    llama_scope,
    openai,
    plain,
    qwen_scope,
    saelens,
    sparsify,
)
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.source import Hints, Source
from steerkit.errors import DictionaryError
from steerkit.sites import Site

FORMATS: dict[str, ModuleType] = {
    module.NAME: module
    for module in (
        axbench,
        circuit_tracer,
        dictionary_learning,
        gemma_scope,
        gemma_scope_2,
        goodfire,
        llama_scope,
        openai,
        plain,
        qwen_scope,
        saelens,
        sparsify,
    )
}


def read_parts(path: str | os.PathLike[str], *, format: str | None = None, **hints: Any) -> Parts:
    """Read a published dictionary.

    Args:
        path: Its tensor file, or the folder that holds that and its config.
        format: Name of its format, where the files do not tell.
        hints: What the files do not say: see `Hints`.

    Raises:
        DictionaryError: It is missing, damaged, unsafe, incomplete, or of no format that is known.
    """
    source = Source(path, Hints(**hints))
    if format is not None and format not in FORMATS:
        raise DictionaryError(f"There is no format '{format}'; known are {', '.join(FORMATS)}.")
    reader = FORMATS[format] if format else _recognised(source)
    try:
        parts = reader.read(source)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, ZeroDivisionError) as error:
        reason = str(error).partition("\n")[0]
        raise DictionaryError(
            f"'{path}' is not as the format '{reader.NAME}' describes ({type(error).__name__}: {reason}). "
            "Its config is damaged, or it is of another format: name it with format=."
        ) from error
    return _with_hints(parts, source.hints)


def _recognised(source: Source) -> ModuleType:
    found, errors = [], []
    for module in FORMATS.values():
        try:
            found += [module] if module.recognise(source) else []
        except DictionaryError as error:  # of a file that may lie beside the dictionary, such as an optimizer's state
            errors.append(error)
    if len(found) == 1:
        return found[0]
    if errors and not found:
        raise errors[0]
    names = ", ".join(module.NAME for module in found)
    raise DictionaryError(
        f"'{source.path}' "
        + (f"could be of several formats ({names})" if found else f"is of no known format; it has {source.listing}")
        + f". Name one with format=: {', '.join(FORMATS)}."
    )


def _with_hints(parts: Parts, hints: Hints) -> Parts:
    site = Site.parse(hints.site) if hints.site else None
    site_out = Site.parse(hints.site_out) if hints.site_out else site
    return replace(
        parts,
        site_in=site or parts.site_in,
        site_out=site_out or parts.site_out,
        model=hints.model or parts.model,
        centred=parts.centred if hints.centred is None else hints.centred,
    )
