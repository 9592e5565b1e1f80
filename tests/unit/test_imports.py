"""Arrows of imports go one way."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FORBIDDEN = {
    "app": ("consumers", "sync", "tests"),
    "consumers": ("sync", "app.edge", "app.admin", "app.local", "app.commands", "app.main", "app.cli", "tests"),
    "sync": ("consumers", "app.edge", "app.admin", "app.local", "app.commands", "app.main", "app.cli", "tests"),
    "app/rules": ("app.edge", "app.admin", "app.queue", "app.jobs", "app.local", "app.main"),
    "app/limiter": ("app.edge", "app.admin", "app.queue", "app.jobs", "app.rules", "app.local", "app.main"),
    "app/jobs": ("app.edge", "app.admin", "app.rules", "app.limiter", "app.local", "app.main"),
    "app/queue": ("app.edge", "app.admin", "app.local", "app.main"),
    "app/edge": ("app.admin", "app.local", "app.main", "app.cli"),
    "app/admin": ("app.edge", "app.local", "app.main", "app.cli"),
}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_no_module_imports_against_the_arrows(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    against = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in files
        for name in imported(file)
        for forbidden in FORBIDDEN[folder]
        if name == forbidden or name.startswith(f"{forbidden}.")
    ]
    assert against == []


def imported(file: Path) -> set[str]:
    """Everything that a file imports anywhere: `from a.b import c` counts as a.b and a.b.c."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: a relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names
