"""Imports go one way: the parts of the tree that may not know each other do not, and no packages import each other."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FORBIDDEN = {
    "app": ("consumers", "sync", "tests"),
    "consumers": ("sync", "app.edge", "app.admin", "app.local", "app.commands", "app.main", "app.cli", "tests"),
    "sync": ("consumers", "app.edge", "app.admin", "app.local", "app.commands", "app.main", "app.cli", "tests"),
    "app/audit": (
        "app.edge",
        "app.admin",
        "app.queue",
        "app.jobs",
        "app.rules",
        "app.limiter",
        "app.local",
        "app.main",
    ),
    "app/rules": ("app.edge", "app.admin", "app.queue", "app.jobs", "app.local", "app.main"),
    "app/limiter": ("app.edge", "app.admin", "app.queue", "app.jobs", "app.rules", "app.local", "app.main"),
    "app/jobs": ("app.edge", "app.admin", "app.rules", "app.limiter", "app.local", "app.main"),
    "app/queue": ("app.edge", "app.admin", "app.local", "app.main"),
    "app/web": ("app.edge", "app.admin", "app.jobs", "app.queue", "app.rules", "app.limiter", "app.local", "app.main"),
    "app/identity": ("app.edge", "app.admin", "app.jobs", "app.queue", "app.rules", "app.limiter", "app.local"),
    "app/edge": ("app.admin", "app.local", "app.main", "app.cli"),
    "app/admin": ("app.edge", "app.local", "app.main", "app.cli"),
    "app/admin/services": ("app.admin.rest", "fastapi", "starlette", "grpc", "httpx"),
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


def test_no_packages_import_each_other() -> None:
    arrows: dict[str, set[str]] = {}
    for package, file in packaged_files():
        targets = {package_of(name) for name in imported(file) if name.split(".")[0] in {"app", "consumers", "sync"}}
        arrows.setdefault(package, set()).update(targets - {package, "app"})
    try:
        order = list(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        pytest.fail(f"packages import each other: {' -> '.join(error.args[1])}")
    assert {"app.edge", "app.queue", "consumers", "sync"} <= set(order)


def packaged_files() -> Iterator[tuple[str, Path]]:
    """Every module with the package that it belongs to; a module at the top of app/ counts as a package."""
    for folder in ("app", "consumers", "sync"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            yield package_of(".".join(part for part in parts if part != "__init__")), file


def package_of(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "app" else parts[0]


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


def test_only_the_module_that_makes_clients_imports_motor() -> None:
    importing = [
        str(file.relative_to(ROOT))
        for folder in ("app", "consumers", "sync", "tests")
        for file in sorted((ROOT / folder).rglob("*.py"))
        if any(name.split(".")[0] == "motor" for name in imported(file))
    ]
    assert importing == ["app/clients.py"]
