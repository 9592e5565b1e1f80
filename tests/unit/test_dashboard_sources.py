"""The dashboard's sources: its own unit tests pass, and its types of the REST API are those of the API as it is."""

from pathlib import Path

import pytest

from app.admin.dashboard.files import BUILT
from app.errors import StartupError
from app.local.dashboard_build import SOURCES, DashboardBuild
from app.local.node import find_node
from scripts.dashboard_tasks import TYPES, generate_types
from tests.support.needs import missing

pytestmark = pytest.mark.xdist_group("npm")


@pytest.fixture
def npm() -> DashboardBuild:
    if find_node() is None:
        missing("Node.js is not installed, or too old: run scripts/dashboard, which brings it")
    return DashboardBuild(SOURCES, BUILT)


def test_the_types_of_the_api_are_current(npm: DashboardBuild, tmp_path: Path) -> None:
    generate_types(npm, tmp_path / "schema.d.ts")
    is_current = (tmp_path / "schema.d.ts").read_text() == (SOURCES / TYPES).read_text()
    assert is_current, f"{TYPES} is not current: run scripts/dashboard --types"


def test_the_unit_tests_of_the_dashboard_pass(npm: DashboardBuild) -> None:
    try:
        npm.npm("test")
    except StartupError as error:
        pytest.fail(f"{error}: run scripts/dashboard --check")
