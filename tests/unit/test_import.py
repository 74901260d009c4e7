"""`import steerkit` is light, and gives what it says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import steerkit as sk

HEAVY = ("torch", "transformers", "nnsight", "pandas", "matplotlib", "anywidget", "IPython", "numpy", "rich")
PROBE = """
import json, sys
before = set(sys.modules)
import steerkit
print(json.dumps({"modules": sorted(set(sys.modules) - before), "dir": dir(steerkit)}))
"""


def test_importing_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert {name.split(".")[0] for name in found["modules"]} & set(HEAVY) == set()
    assert set(sk.__all__) <= set(found["dir"])


def test_every_name_is_there():
    for name in sk.__all__:
        assert getattr(sk, name) is not None
    assert set(sk.__all__) == {*sk._HOMES, *sk._MODULES}
    assert sorted(sk.__all__) == sk.__all__
    assert set(sk.__all__) <= set(dir(sk))


def test_names_that_are_not_there():
    with pytest.raises(AttributeError, match="module 'steerkit' has no attribute 'lode'"):
        sk.lode  # noqa: B018


def test_a_star_import_gives_all():
    names: dict[str, object] = {}
    exec("from steerkit import *", names)
    assert set(sk.__all__) <= set(names)


def test_running_a_model_loads_no_picture_and_no_frame(tinystories_folder):
    code = (
        "import sys, steerkit\n"
        f"steerkit.load({str(tinystories_folder)!r}).generate('Once', max_new_tokens=2)\n"
        "print([name for name in ('pandas', 'matplotlib', 'anywidget', 'ipywidgets') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
