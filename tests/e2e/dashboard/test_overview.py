"""The overview and the system: what needs attention, and what they say while the admin process is away."""

import re

import pytest
from playwright.async_api import expect

from tests.support.dashboard import PAGES, Dashboard
from tests.support.pages import NARROW, WIDE, Pages

pytestmark = PAGES


async def test_what_is_wrong_stands_first_and_leads_to_where_it_is_dealt_with(
    pages: Pages, dashboard: Dashboard
) -> None:
    [worker] = [part for part in dashboard.system.parts if part.role == "worker"]
    page = await pages.page_as("viewer", "/")
    attention = page.get_by_role("region", name="What needs attention")
    worker.end()
    dashboard.system.parts.remove(worker)
    try:
        problem = attention.get_by_role("listitem").filter(has_text="No worker is running.")
        await expect(problem).to_contain_text("problem")
        await problem.get_by_role("link", name="Look at the processes").click()
        await expect(page.get_by_role("heading", level=1, name="System")).to_be_visible()
        await expect(page.get_by_role("alert").filter(has_text="No worker is running.")).to_be_visible()
        processes = page.get_by_role("table", name="Processes")
        await expect(processes.get_by_role("row").filter(has_text="edge")).to_contain_text("runs")
        await expect(processes.get_by_role("row").filter(has_text="worker")).to_have_count(0)
    finally:
        await dashboard.system.ready(dashboard.system.worker())
    await expect(processes.get_by_role("row").filter(has_text="worker")).to_contain_text("runs")
    await expect(page.get_by_text("No worker is running.")).to_have_count(0)


async def test_the_admin_process_is_lost_and_comes_back(pages: Pages, dashboard: Dashboard) -> None:
    page = await pages.page_as("operator", "/")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    dashboard.stop_admin()
    try:
        alert = page.get_by_role("alert").filter(has_text=re.compile(r"Disconnected, stale since \d{4}-\d\d-\d\d"))
        await expect(alert).to_contain_text("The admin process cannot be reached.")
        await expect(page.get_by_role("region", name="What needs attention")).to_be_visible()
    finally:
        await dashboard.start_admin()
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(alert).to_have_count(0)


@pytest.mark.parametrize("path", ["/", "/system"])
async def test_overview_and_system_are_accessible(pages: Pages, dashboard: Dashboard, path: str) -> None:
    await dashboard.system.request("GET", "/x", "alice")
    page = await pages.page_as("operator", path)
    if path == "/":
        await expect(page.get_by_role("region", name="What needs attention").get_by_role("list")).to_be_visible()
        await expect(page.get_by_role("figure", name="Decisions a second")).to_be_visible()
        await page.get_by_role("figure", name="Jobs that wait").get_by_role("button", name="Show as a table").click()
    else:
        await expect(page.get_by_role("table", name="Stores").get_by_role("row")).to_have_count(4)
        await expect(page.get_by_role("link", name="API documentation")).to_have_attribute(
            "href", f"{dashboard.url}/docs"
        )
    for width, height in (WIDE, NARROW):
        await page.set_viewport_size({"width": width, "height": height})
        await pages.assert_accessible(page)
