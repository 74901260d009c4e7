"""The `steerkit` command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from steerkit.cli import main
from steerkit.demo import load_pairs
from steerkit.errors import PromptError


@pytest.fixture(scope="module")
def demo(tinystories_folder, tmp_path_factory):
    page = tmp_path_factory.mktemp("demo") / "new" / "page.html"
    command = [sys.executable, "-m", "steerkit.cli", "demo", "--model", str(tinystories_folder), "--output", str(page)]
    done = subprocess.run([*command, "--max-new-tokens", "12"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done, page


def test_the_demo_prints_its_stories(demo):
    done, page = demo
    assert "Baseline" in done.stdout
    assert "happy +" in done.stdout
    assert "happy -" in done.stdout
    assert "Reading along happy" in done.stdout
    assert str(page.name) in done.stdout.replace("\n", "")
    assert "Traceback" not in done.stderr


def test_the_demo_writes_a_page_that_needs_no_network(demo):
    _, page = demo
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert html.count("<section>") == 3
    for part in ("http", "<script", "src=", "url(", "@import", "<link"):
        assert part not in html
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]


def test_the_page_can_be_read_by_others(demo):
    _, page = demo
    assert page.stat().st_mode & 0o444 == 0o444


def test_a_bare_demo_steers_the_embedded_model(tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["demo", "--max-new-tokens", "40", "--output", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "Model('storybook'" in printed
    assert "Reading along rain" in printed
    assert "most at “umbrella”" in printed
    assert "rain +0.33" in printed
    assert "dragon" in page.read_text(encoding="utf-8")


def test_the_demo_takes_other_features(tmp_path, capsys):
    arguments = ["demo", "--features", "cat", "--strength", "0.3", "--max-new-tokens", "2"]
    assert main([*arguments, "--output", str(tmp_path / "page.html")]) == 0
    assert "cat +0.3" in capsys.readouterr().out
    assert main([*arguments[:2], "weathr", "--output", str(tmp_path / "page.html")]) == 2
    assert "weathr" in capsys.readouterr().err


def test_the_demo_learns_from_the_pairs_that_come_with_it(tmp_path, capsys):
    page = tmp_path / "run[bold].html"
    assert main(["demo", "--max-new-tokens", "2", "--output", str(page), "--pairs"]) == 0
    printed = capsys.readouterr().out.replace("\n", "")
    assert "Learned happy from" in printed
    assert "happy +0.6" in printed
    assert printed.endswith(page.name)
    assert page.exists()


BAD = {
    "no such folder": ["--model", "./missing"],
    "no such site": ["--site", "9.resid_post"],
    "no site": ["--site", "nowhere"],
    "no tokens": ["--max-new-tokens", "0"],
    "empty prompt": ["--prompt", ""],
    "seed": ["--seed", "-1"],
    "strength": ["--strength", "nan"],
    "no such pairs": ["--pairs", "./missing.tsv"],
    "page in place of a folder": ["--output", "{folder}/file/page.html"],
    "folder in place of a page": ["--output", "{folder}"],
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_the_exit_code_2(name, tinystories_folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    arguments = [part.format(folder=tmp_path) for part in BAD[name]]
    given = ["demo", "--model", str(tinystories_folder), "--max-new-tokens", "2", "--output", str(tmp_path / "x.html")]
    assert main([*given, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("steerkit: ")
    assert not (tmp_path / "x.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["demo", "--seed", "x"], ["demo", "--pairs", "a", "--features", "b"]], ids=" ".join
)
def test_a_command_that_is_none(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: steerkit" in capsys.readouterr().err


def test_the_version(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("steerkit ")


def test_the_pairs_that_come_with_it():
    name, positives, negatives = load_pairs()
    assert name == "happy"
    assert len(positives) == len(negatives) >= 40
    assert len({*positives, *negatives}) == 2 * len(positives)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("happy\tsad\n", "has no pairs"),
        ("", "has no pairs"),
        ("happy\tsad\na\tb\nc\n", "Line 3 of .* has 1 texts in 1 columns. Give two a line, separated by a tab"),
        ("happy\tsad\n\n\na\t \n", "Line 4 of .* has 1 texts in 2 columns"),
        ("happy\tsad\na\tb\tc\n", "has 3 texts in 3 columns"),
    ],
)
def test_pairs_that_are_none(tmp_path, content, message):
    (tmp_path / "pairs.tsv").write_text(content)
    with pytest.raises(PromptError, match=message):
        load_pairs(tmp_path / "pairs.tsv")


def test_pairs_of_ones_own(tmp_path):
    (tmp_path / "pairs.tsv").write_text('wet\tdry\n\nrain "fell"\tno rain\n', encoding="utf-8-sig")
    assert load_pairs(tmp_path / "pairs.tsv") == ("wet", ['rain "fell"'], ["no rain"])
