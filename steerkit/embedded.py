"""The model that comes with steerkit and its dictionaries: files of the package, by name."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

NAME = "storybook"
BEGINNING = "There was once a girl named Mia, and she was as daring as can be."  # of a story, as its language begins
DICTIONARIES = "dictionaries"  # the folder of a model's own dictionaries, within the model's


def find(name: str | os.PathLike[str]) -> Path | None:
    """The folder that `storybook` or `storybook/3.resid_post` stands for; None for other names."""
    first, _, rest = os.fspath(name).partition("/")
    if first != NAME:
        return None
    folder = Path(str(files("steerkit"))) / NAME / "files"
    return folder / DICTIONARIES / rest if rest else folder


def layer(dictionary: str) -> int | None:
    """The layer in the name of a dictionary that is named after its site, such as `3.resid_post`; None for others."""
    first = dictionary.partition(".")[0]
    return int(first) if first.isdecimal() else None


def dictionaries(model: str) -> list[str]:
    """Names of the dictionaries that come with a model, by layer; none for models on the hub."""
    folder = (find(model) or Path(model)) / DICTIONARIES
    found = sorted(path.name for path in folder.glob("*") if path.is_dir())
    found.sort(key=lambda name: -1 if (at := layer(name)) is None else at)
    return [f"{NAME}/{name}" if find(model) else str(folder / name) for name in found]
