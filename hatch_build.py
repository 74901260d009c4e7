import subprocess
import sys
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BundleHook(BuildHookInterface):
    """Builds the widgets' bundles before a wheel, or an editable install, is made."""

    def initialize(self, version: str, build_data: dict) -> None:
        subprocess.run([sys.executable, Path(self.root, "scripts", "js.py"), "build"], check=True)
