"""What the repository as a whole owes to those who clone, build or install it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def git_files(*options: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", *options], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.fixture(scope="module")
def texts() -> dict[Path, str]:
    """Every tracked text file."""
    files = {path.relative_to(ROOT): path.read_bytes() for path in git_files()}
    return {path: data.decode() for path, data in files.items() if b"\0" not in data}


REGISTRY_HOSTS = [
    r"pypi\.org",
    r"pythonhosted\.org",
    r"registry\.npmjs",
    r"npmjs\.(?:com|org)",
    r"yarnpkg\.com",
    r"download\.pytorch\.org",
    r"anaconda\.(?:com|org)",
]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("|".join(REGISTRY_HOSTS), "a mirror must be able to stand in for every registry"),
        (r'"resolved"\s*:', "make lock files with npm's omit-lockfile-registry-resolved"),
        (r"(?<![\w.])/(?:home|Users|root|work)/\w", "a path of one developer's machine"),
        (r"pip install\s+(?:-\S+\s+)*[\"']?steerkit(?!-lab)\b", "another project has that name"),
    ],
)
def test_no_tracked_text_contains(texts: dict[Path, str], pattern: str, why: str) -> None:
    found = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if re.search(pattern, line)
    ]
    assert not found, f"{why}:\n" + "\n".join(found)


def test_constraints_name_public_versions_only() -> None:
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in constraints if line and not line.startswith("#")]
    assert "torch==2.13.0" in pins
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []


def test_lock_file_covers_every_platform() -> None:
    # `npm ci` refuses a lock without the optional packages of the other platforms, which
    # `npm install` leaves out where the registry lacks them.
    packages = json.loads((ROOT / "js" / "package-lock.json").read_text())["packages"]
    optional = {name for entry in packages.values() for name in entry.get("optionalDependencies", {})}
    assert {name for name in optional if f"node_modules/{name}" not in packages} == set()


def test_import_is_light() -> None:
    heavy = "anywidget ipywidgets matplotlib pandas jupyterlab steerkit_widgets torch transformers"
    code = f"import steerkit, sys; print(*[m for m in {heavy.split()} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_addresses_are_made_from_the_one_in_pyproject(texts: dict[Path, str], tmp_path: Path) -> None:
    address = tomllib.loads(texts[Path("pyproject.toml")])["project"]["urls"]["Repository"]
    name = address.removeprefix("https://github.com/")
    holders = {path for path, text in texts.items() if name in text}
    assert holders == {Path("pyproject.toml"), Path("README.md"), Path("tutorials/01_steer.ipynb")}

    for path in [*holders, Path("scripts/address.py"), Path("steerkit/__init__.py")]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(texts[path])
    script = [sys.executable, tmp_path / "scripts" / "address.py"]
    assert subprocess.run([*script, "--check"], capture_output=True).returncode == 0

    project = tmp_path / "pyproject.toml"
    project.write_text(project.read_text().replace(address, "https://github.com/someone/else"))
    assert subprocess.run([*script, "--check"], capture_output=True).returncode == 1
    subprocess.run(script, check=True)
    assert subprocess.run([*script, "--check"], capture_output=True).returncode == 0
    assert not [path for path in holders if name in (tmp_path / path).read_text()]
    assert (tmp_path / "README.md").read_text().count("someone/else") == texts[Path("README.md")].count(name) > 0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from what git would commit, on a PATH without Node."""
    tmp = tmp_path_factory.mktemp("wheel")
    for path in git_files("--cached", "--others", "--exclude-standard"):
        copy = tmp / "source" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    (tmp / "bin").mkdir()
    (tmp / "bin" / "sh").symlink_to("/bin/sh")  # npm runs the scripts of packages with it
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", tmp / "source"],
        cwd=tmp,
        env={
            **os.environ,
            "PATH": str(tmp / "bin"),
            # The build's own environment obeys the one before pip 25.3, the other since.
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "PIP_BUILD_CONSTRAINT": str(ROOT / "constraints.txt"),
        },
        check=True,
    )
    (built,) = tmp.glob("*.whl")
    return built


@pytest.mark.slow
def test_wheel_holds_packages_bundles_and_licence(wheel: Path, tmp_path: Path) -> None:
    assert wheel.name.startswith("steerkit_lab-")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path)
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"steerkit", "steerkit_widgets"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)

    entries = (ROOT / "js" / "src" / "widgets").glob("*.tsx")
    bundles = {f"steerkit_widgets/static/{entry.stem}.js" for entry in entries}
    assert bundles
    assert bundles <= set(names)

    code = """
import anywidget, inspect, pathlib, steerkit, steerkit_widgets
print(pathlib.Path(steerkit.__file__).parent)
for widget in vars(steerkit_widgets).values():
    if inspect.isclass(widget) and issubclass(widget, anywidget.AnyWidget):
        print(widget._esm._path)
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    package, *modules = run.stdout.splitlines()
    assert Path(package) == tmp_path / "steerkit"
    assert modules
    assert {str(Path(module).relative_to(tmp_path)) for module in modules} <= set(names)
