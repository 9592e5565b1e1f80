"""The overview and the system: what needs attention, and what they say while the admin process is away."""

import json
import re

import pytest
from playwright.async_api import expect

from tests.support.dashboard import PAGES, Dashboard
from tests.support.pages import NARROW, WIDE, Pages
from tests.support.waiting import eventually

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


async def gathered(dashboard: Dashboard) -> int:
    """How many samples the admin process has of the last ten minutes."""
    return len((await dashboard.api("GET", "/v1/status/history", role="viewer")).json()["samples"])


async def test_the_charts_of_a_new_tab_show_what_was_gathered_for_others(pages: Pages, dashboard: Dashboard) -> None:
    first = await pages.page_as("viewer", "/system")
    await expect(first.get_by_text("Live", exact=True)).to_be_visible()
    await dashboard.system.request("GET", "/x", "alice")

    async def has_some() -> bool:
        return await gathered(dashboard) >= 5

    await eventually(has_some, 15, "five samples while a tab watches")
    status = (await dashboard.api("GET", "/v1/status")).json()
    page = await pages.page_as("viewer", "/nowhere")
    one_event = f"event: status\ndata: {json.dumps(status)}\n\n"
    await page.route("**/v1/events", lambda route: route.fulfill(body=one_event, content_type="text/event-stream"))
    await page.goto(dashboard.url + "/")
    for name in ("Decisions a second", "Draining of the 100 deepest flows", "Jobs that wait"):
        chart = page.get_by_role("figure", name=name)
        await expect(chart.locator("canvas")).to_be_visible()
        await chart.get_by_role("button", name="Show as a table").click()
        rows = chart.get_by_role("row")
        await expect(rows.nth(5)).to_be_visible()
        assert (
            await rows.nth(5).get_by_role("rowheader").inner_text()
            < await rows.nth(1).get_by_role("rowheader").inner_text()
        )


@pytest.mark.parametrize("path", ["/", "/system"])
async def test_overview_and_system_are_accessible(pages: Pages, dashboard: Dashboard, path: str) -> None:
    await dashboard.system.request("GET", "/x", "alice")
    rule = {"key_type": "user", "key_value": "nobody", "limit": 1, "window_seconds": 1, "on_limit": "defer"}
    paused = await dashboard.api("PUT", "/v1/rules/needs-attention", rule | {"paused": True})
    assert paused.status in {200, 201}, paused.body
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
    await dashboard.api("DELETE", "/v1/rules/needs-attention")
