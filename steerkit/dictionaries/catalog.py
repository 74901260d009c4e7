"""The catalog of published dictionaries: `catalog.csv`, expanded and searched.

A line of the table stands for one dictionary or for a family of them. The column `each` says what the braces in the
other columns stand for, and the family is every combination of it:

    layer=0..25                  every number from 0 to 25
    width=16k|65k                these values
    layer/l0=0/105|1/102         these pairs of values
    layer=*                      whatever the name given has there; such families are found by name but not listed

`unverified` names the columns that no publisher's file or card was seen to confirm. Gemma Scope publishes several L0s
for a layer and width; listed are those that SAELens calls canonical. Names, paths, scales and Neuronpedia's ids are
those of SAELens's registry (MIT, commit 91ca16cc) where it has the dictionary.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.resources import files
from itertools import product
from math import log2
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from steerkit.dictionaries.labels import Labels
from steerkit.errors import DictionaryError

if TYPE_CHECKING:
    import pandas as pd

_OPEN = {"layer": r"\d+", "width": r"\d+[km]"}  # what `*` stands for; anything within a folder's name if not here


@dataclass(frozen=True)
class Entry:
    """A published dictionary.

    Attributes:
        name: Its name in the catalog.
        repo: Repository on the hub; for OpenAI's, the address they lie under.
        path: File or folder there.
        model: The model it was trained on, by its name on the hub.
        site_in: Where it reads, such as `"20.resid_post"`.
        site_out: Where a transcoder writes; empty for others.
        n_features: How many features it has, if known.
        format: Name of the format it is in.
        settings: What the files do not say and reading them needs.
        license: Licence of the weights; empty if unknown.
        labels: Neuronpedia's id of it, under which labels can be had; empty if unknown.
        unverified: Names of the attributes that are not confirmed.
    """

    name: str
    repo: str
    path: str
    model: str
    site_in: str
    site_out: str
    n_features: int | None
    format: str
    settings: dict[str, Any]
    license: str
    labels: str
    unverified: tuple[str, ...]

    @property
    def hints(self) -> dict[str, Any]:
        """What a reader of its files has to be told."""
        sites = {"site": self.site_in} | ({"site_out": self.site_out} if self.site_out else {})
        return {**sites, "model": self.model, **self.settings}

    @property
    def source(self) -> str:
        """Repository and path."""
        return f"{self.repo}/{self.path}"


def find(name: str) -> Entry:
    """The entry of a name, or of a hub repository and path.

    Raises:
        DictionaryError: The catalog has none.
    """
    entry = lookup(name)
    if entry is None:
        raise DictionaryError(f"The catalog has no {name!r}. {suggestion(name)}")
    return entry


def lookup(name: str) -> Entry | None:
    """The same; None if the catalog has none."""
    spelled = name.strip("/").lower()
    folder = spelled.rpartition("/")[0] if PurePosixPath(spelled).suffix else spelled  # a file of its folder was named
    for key in (spelled, folder):
        if entry := _table().named.get(key):
            return entry
        for pattern, row in _table().families:
            if match := pattern.fullmatch(key):
                return _entry(row, match.groupdict())
    return None


def search(text: str = "", limit: int = 50) -> pd.DataFrame:
    """Find dictionaries by words of their name, model, publisher and site, in any order.

    Example:
        >>> search("goodfire llama 70b").name.tolist()
        ['goodfire/llama-3.3-70b-instruct-l50']
    """
    import pandas as pd

    table = _table()
    found = [match.feature for match in table.index.search(text, limit)] if text else range(len(table.entries))[:limit]
    rows = [
        {
            "name": entry.name,
            "model": entry.model,
            "site": f"{entry.site_in} to {entry.site_out}" if entry.site_out else entry.site_in,
            "n_features": entry.n_features,
            "license": entry.license or "unknown",
            "source": entry.source,
            "unverified": ", ".join(entry.unverified),
        }
        for entry in (table.entries[i] for i in found)
    ]
    columns = ["name", "model", "site", "n_features", "license", "source", "unverified"]
    return pd.DataFrame(rows, columns=columns).astype({"n_features": "Int64"})


def entries() -> list[Entry]:
    """Every listed dictionary."""
    return list(_table().entries)


def of_model(model: str) -> list[Entry]:
    """The listed dictionaries of a model, by its name on the hub."""
    return [entry for entry in _table().entries if entry.model.lower() == model.lower()]


def suggestion(name: str) -> str:
    """What to try instead of a name that is not there."""
    table = _table()
    near = [repr(table.entries[match.feature].name) for match in table.index.search(name, 3)]
    return (f"Did you mean {' or '.join(near)}? " if near else "") + "See steerkit.catalog.search(...)."


class _Table:
    """The table, expanded."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.named: dict[str, Entry] = {}
        self.families: list[tuple[re.Pattern[str], dict[str, str]]] = []
        shared: set[str] = set()
        text = files("steerkit.dictionaries").joinpath("catalog.csv").read_text(encoding="utf-8")
        for row in csv.DictReader(text.splitlines()):
            values = _values(row["each"])
            if values is None:
                self.families += [(_pattern(spelling), row) for spelling in _spellings(row)]
                continue
            for some in values:
                entry = _entry(row, some)
                self.entries.append(entry)
                for key in _spellings(asdict(entry)):
                    if self.named.setdefault(key.lower(), entry) is not entry:
                        shared.add(key.lower())
        for key in shared:  # a repository that holds many
            del self.named[key]

    @cached_property
    def index(self) -> Labels:
        """Full-text search, with what people call things besides their names."""
        labels = Labels()
        for_search = "{0.name} {0.model} {0.site_in} {0.site_out} layer {1} {0.n_features} {0.repo}".format
        labels.add({i: for_search(x, x.site_in.partition(".")[0]) for i, x in enumerate(self.entries)})
        return labels


@cache
def _table() -> _Table:
    return _Table()


def _spellings(row: dict[str, Any]) -> list[str]:
    """Ways to name a dictionary: by name, by repository and path, and by the folder of its one file."""
    path = PurePosixPath(row["path"])
    folder = path.parent if path.suffix else path
    return list(dict.fromkeys([row["name"], f"{row['repo']}/{path}", f"{row['repo']}/{folder}".removesuffix("/.")]))


def _pattern(spelling: str) -> re.Pattern[str]:
    def group(match: re.Match[str]) -> str:
        return f"(?P<{match[1]}>{_OPEN.get(match[1], '[^/]+')})"

    return re.compile(re.sub(r"\\{(\w+)\\}", group, re.escape(spelling)), re.IGNORECASE)


def _values(each: str) -> list[dict[str, str]] | None:
    """All combinations of the values in braces; None if they are open."""
    if "*" in each:
        return None
    choices: list[list[dict[str, str]]] = []
    for part in filter(None, each.split("; ")):
        names, _, listed = part.partition("=")
        first, dots, last = listed.partition("..")
        values = map(str, range(int(first), int(last) + 1)) if dots else listed.split("|")
        choices.append([dict(zip(names.split("/"), value.split("/"), strict=True)) for value in values])
    return [{name: value for some in chosen for name, value in some.items()} for chosen in product(*choices)]


def _entry(row: dict[str, str], values: dict[str, str]) -> Entry:
    filled = {column: text.format(**values) for column, text in row.items() if column != "each"}
    settings = dict(pair.split("=") for pair in filled.pop("hints").split())
    return Entry(
        **{
            **filled,
            "n_features": _count(filled["n_features"]),
            "settings": {name: _number(value) for name, value in settings.items()},
            "unverified": tuple(filled["unverified"].split()),
        }
    )


def _count(width: str) -> int | None:
    """A number of features; `16k` and the like are powers of two, rounded."""
    if not width:
        return None
    thousands = {"k": 1e3, "m": 1e6}.get(width[-1])
    return int(width) if thousands is None else 2 ** round(log2(int(width[:-1]) * thousands))


def _number(text: str) -> Any:
    """A number or a truth value, if it is one."""
    try:
        return json.loads(text)
    except ValueError:
        return text
