"""Every page can be used by everybody: axe finds nothing, in light and dark, and nothing sticks out at 400 px."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.support.dashboard import PAGES, Dashboard
from tests.support.dashboard_content import LONG, LONG_RULE, SCRIPT, Content, make_content, remove_content
from tests.support.pages import NARROW, WIDE, Pages

pytestmark = PAGES

PLACES = {
    "overview": ("/", "Overview", LONG),
    "rules": ("/rules", "Rules", LONG_RULE),
    "new-rule": ("/rules/new", "New rule", "Rule id"),
    "rule": ("/rules/id/complex", "complex", "acme"),
    "edit-rule": ("/rules/id/complex/edit", "complex", "Who is counted"),
    "rule-history": ("/rules/id/complex/history", "complex", "1"),
    "queues": ("/flows", "Queues", LONG),
    "flow": ("/flows/{flow_id}", "Queue of", LONG_RULE),
    "jobs": ("/jobs", "Jobs", LONG_RULE),
    "waiting-job": ("/jobs/{waiting_job_id}", "Job", "/orders/"),
    "failed-job": ("/jobs/{failed_job_id}", "Job", "/pay/"),
    "dead-letters": ("/dead-letters", "Dead letters", "script"),
    "operations": ("/operations", "Operations", "nowhere"),
    "operation": ("/operations/{operation_id}", "Delete dead letters", "nowhere"),
    "explain": (f"/explain?user={LONG}&path=/orders/1", "Explain", "Decision: defer"),
    "audit": ("/audit", "Audit", "rule.created"),
    "system": ("/system", "System", "edge"),
    "not-found": ("/nowhere/at/all", "", ""),
}
"""Path, heading, and a text that is there once the page has its content, of every page."""

PICTURES = {"overview", "rules", "rule", "queues", "flow", "failed-job", "dead-letters", "explain", "audit", "system"}


@pytest_asyncio.fixture(loop_scope="package", scope="module")
async def content(dashboard: Dashboard) -> AsyncIterator[Content]:
    yield await make_content(dashboard)
    await remove_content(dashboard)


@pytest.mark.parametrize("name", PLACES)
async def test_a_page_is_accessible(pages: Pages, content: Content, name: str) -> None:
    path, heading, text = PLACES[name]
    page = await pages.page_as("admin", path.format(**vars(content)))
    await expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()
    await expect(page.get_by_role("main").get_by_text(text).first).to_be_visible()
    assert await page.title() != "ran", "what callers sent is text"
    assert "Penstock" in await page.title()
    for width, height in (WIDE, NARROW):
        await page.set_viewport_size({"width": width, "height": height})
        await pages.assert_accessible(page)
    if name in PICTURES:
        await pages.screenshot(page, name)


@pytest.mark.parametrize("name", ["overview", "rule", "flow", "failed-job", "dead-letters"])
async def test_a_viewer_is_told_why_less_is_offered(pages: Pages, content: Content, name: str) -> None:
    path, heading, _ = PLACES[name]
    page = await pages.page_as("viewer", path.format(**vars(content)), NARROW)
    await expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()
    if name != "overview":
        await expect(page.get_by_text("Your role viewer may look").first).to_be_visible()
    await pages.assert_accessible(page)
    offered = await page.get_by_role("main").get_by_role("button").all_inner_texts()
    deeds = ("Pause", "Resume", "Purge", "Cancel", "Replay", "Delete", "Change", "Disable", "Edit", "New")
    assert [text for text in offered if text.startswith(deeds)] == []


async def test_what_callers_sent_stays_text(pages: Pages, content: Content) -> None:
    page = await pages.page_as("operator", f"/jobs/{content.failed_job_id}")
    await expect(page.get_by_text("9007199254740993").first).to_be_visible()
    await expect(page.get_by_text(SCRIPT).first).to_be_visible()
    assert await page.locator("main img, main script").count() == 0
    assert await page.title() != "ran"
