"""One system, one admin process and one browser for all tests of the dashboard's pages."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from app.admin.dashboard.files import BUILT
from app.local.dashboard_build import SOURCES, DashboardBuild
from app.settings import Settings
from tests.support.dashboard import Dashboard, dashboard_running
from tests.support.pages import TIMEOUT_MS, Pages, chromium
from tests.support.stores import emptied


@pytest.fixture(scope="package")
def dashboard_settings(store_settings: Settings) -> Settings:
    """Settings of real stores, empty when the first of these tests begins."""
    urls = {name: emptied(getattr(store_settings, name)) for name in ("cache_redis_url", "queue_redis_url")}
    return store_settings.model_copy(update={"mongodb_database": f"test_{uuid.uuid4().hex[:12]}"} | urls)


@pytest_asyncio.fixture(loop_scope="package", scope="package")
async def dashboard(dashboard_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dashboard]:
    """The running system, with the dashboard built from its sources as they are."""
    await asyncio.to_thread(DashboardBuild(SOURCES, BUILT).run)
    async with dashboard_running(dashboard_settings, tmp_path_factory.mktemp("dashboard")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="package", scope="package")
async def browser() -> AsyncIterator[Browser]:
    expect.set_options(timeout=TIMEOUT_MS)
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="package")
async def pages(dashboard: Dashboard, browser: Browser, request: pytest.FixtureRequest) -> AsyncIterator[Pages]:
    """Opens pages: `await pages.page_as("viewer", "/rules")`. Whatever is wrong in the browser fails the test."""
    found = Pages(dashboard, browser, screenshots=request.config.getoption("--screenshots"))
    yield found
    await found.close()
    assert found.troubles == []
