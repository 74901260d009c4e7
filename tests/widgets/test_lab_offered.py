"""`steerkit lab` without a server; `tests/browser/test_lab_command.py` has it with one."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest

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


def test_without_voila_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "voila.app", None)
    assert main(["lab", "--no-browser"]) == 2
    assert "Install steerkit-lab[lab]" in capsys.readouterr().err


def test_help(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "steerkit lab --help" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["lab", "--help"])
    assert "--dictionary" in capsys.readouterr().out
