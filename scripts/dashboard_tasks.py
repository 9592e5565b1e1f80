"""Checks the dashboard's sources, and generates what of them is generated: scripts/dashboard runs this.

.venv/bin/python -m scripts.dashboard_tasks lint|test|types...
"""

import json
import sys
import tempfile
from pathlib import Path

from app.admin.dashboard.files import BUILT
from app.admin.rest.application import admin_document
from app.errors import StartupError
from app.local.dashboard_build import SOURCES, DashboardBuild, sources_stamp

TYPES = Path("src", "api", "schema.d.ts")
PASSED = ".passed"
"""A file in npm's folder: the sources that have passed the checks."""


def main() -> None:
    """Run the tasks that are named; exit with 1 and one line where one fails."""
    tasks = {"lint": lint, "test": test, "types": write_types}
    npm = DashboardBuild(SOURCES, BUILT)
    try:
        for name in sys.argv[1:]:
            tasks[name](npm)
    except (StartupError, OSError) as error:
        raise SystemExit(f"penstock: {error}") from error


def lint(npm: DashboardBuild) -> None:
    """Check style and types, unless these sources have passed before. Raises StartupError."""
    passed, stamp = SOURCES / "node_modules" / PASSED, sources_stamp(SOURCES, with_tests=True)
    if passed.exists() and passed.read_text() == stamp:
        return
    npm.npm("run", "check")
    passed.write_text(stamp)


def test(npm: DashboardBuild) -> None:
    """Run the unit tests. Raises StartupError."""
    npm.npm("test")


def write_types(npm: DashboardBuild) -> None:
    """Generate the types of the REST API. Raises StartupError."""
    generate_types(npm, SOURCES / TYPES)


def generate_types(npm: DashboardBuild, file: Path) -> None:
    """Write the types of the REST API to a file. Raises StartupError."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as document:
        json.dump(admin_document(), document)
        document.flush()
        npm.npm("exec", "--no", "--", "openapi-typescript", document.name, "--output", str(file))


if __name__ == "__main__":
    main()
