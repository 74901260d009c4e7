"""Write the repository's public address, from pyproject.toml, into badges and install lines.

python scripts/address.py            # after a change of the address or of the version
python scripts/address.py --check    # whether that has been done
"""

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
FIRST = "tutorials/01_steer.ipynb"
BLOCK = re.compile(r"(<!-- made by scripts/address.py -->\n).*?(<!-- end -->)", re.DOTALL)
INSTALL = re.compile(r"%pip install --quiet \S+")


def wheel(root: Path, repository: str) -> str:
    """Where a release keeps its wheel."""
    source = (root / "steerkit" / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)[1]
    return f"{repository}/releases/download/v{version}/steerkit_lab-{version}-py3-none-any.whl"


def badges(repository: str) -> str:
    name = repository.removeprefix("https://github.com/")
    binder = f"https://mybinder.org/v2/gh/{name}/HEAD?labpath={FIRST.replace('/', '%2F')}"
    colab = f"https://colab.research.google.com/github/{name}/blob/HEAD/{FIRST}"
    return (
        f"[![Binder](https://mybinder.org/badge_logo.svg)]({binder})\n"
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})\n"
    )


def written(root: Path) -> dict[Path, str]:
    """Every file that has the address in it, as it ought to be."""
    repository = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    install = f"%pip install --quiet {wheel(root, repository)}"

    readme, (top, line) = root / "README.md", (badges(repository), f"\n```\n{install.removeprefix('%')}\n```\n\n")
    texts = iter([top, line.replace(" --quiet", "")])
    found = {readme: BLOCK.sub(lambda match: match[1] + next(texts) + match[2], readme.read_text(encoding="utf-8"))}

    notebook = root / FIRST
    cells = json.loads(notebook.read_text(encoding="utf-8"))
    first = next(cell for cell in cells["cells"] if cell["cell_type"] == "code")
    first["source"] = [INSTALL.sub(install, line) for line in first["source"]]
    found[notebook] = json.dumps(cells, indent=1, ensure_ascii=False) + "\n"
    return found


def main(*arguments: str) -> int:
    stale = {path: text for path, text in written(ROOT).items() if path.read_text(encoding="utf-8") != text}
    if arguments == ("--check",):
        for path in stale:
            print(f"{path.relative_to(ROOT)} has another address or version: run scripts/address.py.")
        return bool(stale)
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
