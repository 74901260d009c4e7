"""`steerkit lab` without a server; `tests/browser/test_lab_command.py` has it with one."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest

import steerkit_widgets
from steerkit.cli import COMMANDS, main
from steerkit_widgets.cli import add_lab, notebook


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_lab(parser)
    return parser.parse_args(arguments)


def test_the_command_is_known_to_the_library_by_name_alone() -> None:
    (point,) = entry_points(group=COMMANDS, name="lab")
    assert point.load() is add_lab


def test_what_is_served() -> None:
    (cell,) = notebook(options()).cells
    assert "sk.load('storybook')" in cell.source
    assert "model.dictionary()" in cell.source
    evil = "'); import os #"
    (cell,) = notebook(options("--model", evil, "--dictionary", "a/b", "--prompt", evil)).cells
    compile(cell.source, "cell", "exec")
    assert f"sk.load({evil!r})" in cell.source
    assert "sk.load_dictionary('a/b')" in cell.source


@pytest.mark.parametrize("hidden", ["voila.app", "nbformat"])
def test_without_its_packages_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, hidden: str
) -> None:
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{hidden}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, hidden, None)
    monkeypatch.delitem(sys.modules, "steerkit_widgets.cli")
    monkeypatch.setattr(steerkit_widgets, "cli", None)  # it is imported anew
    assert main(["lab", "--no-browser"]) == 2
    said = capsys.readouterr().err
    assert f"the package {hidden.partition('.')[0]}, which is not installed. Install steerkit-lab[lab]" in said


def test_help(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "steerkit lab --help" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["lab", "--help"])
    assert "--dictionary" in capsys.readouterr().out
