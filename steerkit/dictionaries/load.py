"""Loading dictionaries: by a name in the catalog, a repository on the hub, a file or a folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from steerkit.collection import postponed
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.formats.recognise import read_parts
from steerkit.dictionaries.hub import locate
from steerkit.dictionaries.label_files import read_maxima

if TYPE_CHECKING:
    from steerkit.sites import Site

TABLE = "labels.csv"  # beside the weights: labels, and a column `maximum`


@postponed()
def load_dictionary(
    name: str | os.PathLike[str],
    *,
    site: str | Site | None = None,
    model: str | None = None,
    format: str | None = None,
    revision: str | None = None,
    labels: str | os.PathLike[str] | None = None,
    **hints: Any,
) -> Dictionary:
    """Load a dictionary. Weights stay on disk until they are needed.

    Args:
        name: A name in the catalog (`steerkit.catalog.search`), a repository on the Hugging Face hub with or without a
            path in it, a file or a folder.
        site: Where it belongs, if its files do not say or say it wrongly.
        model: Name of the model it was trained on, likewise.
        format: Name of its format, if its files do not tell.
        revision: Branch, tag or commit on the hub.
        labels: A file that keeps labels of your own; in memory without one. A table `labels.csv` beside the weights is
            imported.
        **hints: What else a reader has to be told; see `steerkit.dictionaries.source.Hints`.

    Raises:
        DictionaryError: It is missing, damaged, unsafe, incomplete, or of no format that is known.
        SiteError: The site cannot be read.
    """
    located = locate(name, revision=revision)
    hints.update({key: str(value) for key, value in {"site": site, "model": model}.items() if value is not None})
    parts = read_parts(located.path, format=format or located.format, **{**located.hints, **hints})
    told = hints if format is None else {**hints, "format": format}
    dictionary = Dictionary(parts, os.fspath(name), located.revision, labels=labels, hints=told)
    table = located.path / TABLE
    if table.is_file():
        dictionary.labels.load(table)
        maxima = read_maxima(table, parts.n_features)
        if maxima is not None:
            dictionary.published_maxima = maxima
    return dictionary
