"""What a process imports at its start."""

import json
import subprocess
import sys

import pytest

PROBE = """
import json, sys
import app.cli

body_of = app.cli._body

def told(role):
    body = body_of(role)
    imported = sorted(name for name, module in sys.modules.items() if module is not None)
    print(json.dumps([f"{body.__module__}:{body.__name__}", imported]))
    raise SystemExit(0)

app.cli._body = told
app.cli.main()
"""

NEEDLESS = {
    "edge": {"app.admin", "app.local.stores", "grpc"},
    "admin": {"app.local.stores"},
    "worker": {"app.admin", "app.edge", "app.local.stores", "fastapi", "grpc", "starlette", "uvicorn"},
    "sync": {"app.admin", "app.edge", "app.local.stores", "aiokafka", "fastapi", "grpc", "starlette", "uvicorn"},
}
"""What takes long to import, and a process of this kind never uses."""


@pytest.mark.parametrize("role", NEEDLESS)
def test_a_process_imports_nothing_heavy_that_it_does_not_need(role: str) -> None:
    body, imported = started(role)
    assert body.endswith(f":run_{role}")
    assert NEEDLESS[role].isdisjoint(imported)
    assert {"httpx", "structlog"} <= set(imported)
    assert "httpx._main" not in imported, "httpx without its own command line"
    assert "rich.console" not in imported, "structlog without colours"


def started(role: str) -> tuple[str, list[str]]:
    """The body of a process, and all modules that have been imported when it begins."""
    found = subprocess.run([sys.executable, "-c", PROBE, role], capture_output=True, text=True, check=True)
    body, imported = json.loads(found.stdout)
    return body, imported
