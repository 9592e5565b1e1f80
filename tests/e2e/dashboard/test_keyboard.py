"""The dashboard is used by keyboard alone, at 400 px, by pages of a list, and by a link that was sent."""

import re

import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.support.dashboard import PAGES, Dashboard
from tests.support.pages import NARROW, Pages
from tests.support.waiting import eventually

pytestmark = PAGES

HOUR_S = 3600
CALLER = "keyboard"
RULE = {
    "rule_id": "by-keyboard",
    "key_type": "user",
    "key_value": CALLER,
    "limit": 1,
    "window_seconds": HOUR_S,
    "on_limit": "defer",
    "drain": {"limit": 1, "window_seconds": HOUR_S / 6},
    "queue": {"on_delete": "reject"},
}


@pytest_asyncio.fixture(loop_scope="package", scope="module")
async def flow_id(dashboard: Dashboard) -> str:
    """A flow with jobs that wait."""
    assert (await dashboard.api("PUT", "/v1/rules/by-keyboard", RULE)).status in {200, 201}
    await dashboard.system.rule_is_known("by-keyboard", CALLER)
    answers = [await dashboard.system.request("GET", "/x", CALLER) for _ in range(4)]
    assert answers[-1].status == 202
    job = await dashboard.api("GET", f"/v1/jobs/{answers[-1].json()['id']}")
    return str(job.json()["flow_id"])


async def tab_to(page: Page, wanted: Locator) -> None:
    """Press the tabulator until the control has the focus, as who has no mouse must."""
    await expect(wanted.first).to_be_visible()
    for _ in range(150):
        await page.keyboard.press("Tab")
        if await wanted.first.evaluate("(one) => one === document.activeElement"):
            return
    raise AssertionError(f"the keyboard does not reach {wanted}")


async def test_a_flow_is_found_paused_and_resumed_by_keyboard(pages: Pages, dashboard: Dashboard, flow_id: str) -> None:
    page = await pages.page_as("operator", "/")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await page.keyboard.press("Tab")
    skip = page.get_by_role("button", name="Skip to the content")
    await expect(skip).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()
    await page.reload()
    await tab_to(page, page.get_by_role("navigation", name="Areas").get_by_role("link", name="Queues"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1, name="Queues")).to_be_focused()
    await tab_to(page, page.get_by_role("link", name=re.compile(CALLER)))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1, name=re.compile(CALLER))).to_be_focused()
    for name, paused in (("Pause", True), ("Resume", False)):
        await tab_to(page, page.get_by_role("button", name=re.compile(f"{name} .*{CALLER}")))
        await page.keyboard.press("Enter")

        async def is_so(expected: bool = paused) -> bool:
            flow = (await dashboard.api("GET", f"/v1/flows/{flow_id}")).json()
            return (flow["state"] == "paused") is expected

        await eventually(is_so, 10, f"{name} by keyboard")


async def test_a_dialog_keeps_the_focus_and_gives_it_back(pages: Pages, flow_id: str) -> None:
    page = await pages.page_as("operator", f"/flows/{flow_id}")
    button = page.get_by_role("button", name=re.compile("Change rate"))
    await button.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    for _ in range(30):
        await page.keyboard.press("Tab")
        # The browser itself may have the focus between the last control and the first one.
        assert await page.evaluate(
            "() => !document.activeElement.closest('main') || !!document.activeElement.closest('dialog')"
        )
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(button).to_be_focused()


async def test_where_it_is_narrow_the_areas_are_in_a_menu(pages: Pages) -> None:
    page = await pages.page_as("viewer", "/audit", NARROW)
    menu, areas = page.get_by_role("button", name="Menu"), page.get_by_role("navigation", name="Areas")
    await expect(areas).to_be_hidden()
    await menu.click()
    await expect(areas).to_be_visible()
    await pages.assert_accessible(page)
    await page.keyboard.press("Escape")
    await expect(areas).to_be_hidden()
    await expect(menu).to_be_focused()
    await menu.click()
    await areas.get_by_role("link", name="System").click()
    await expect(page.get_by_role("heading", level=1, name="System")).to_be_visible()
    await expect(areas).to_be_hidden()


async def test_pages_of_a_list_go_back_after_a_reload_and_with_the_browser(pages: Pages, dashboard: Dashboard) -> None:
    rules = [RULE | {"rule_id": f"paged-{number:03d}", "key_value": f"paged-{number}"} for number in range(120)]
    assert (await dashboard.api("PUT", "/v1/rules", {"rules": rules})).status == 200
    page = await pages.page_as("viewer", "/audit?action=rule.created")
    first = page.get_by_role("row").nth(1)
    newest = await first.inner_text()
    await page.get_by_role("button", name="Next page").click()
    await page.wait_for_url(re.compile("after="))
    await expect(first).not_to_have_text(newest)
    await page.get_by_role("button", name="Next page").click()
    await expect(page.get_by_role("button", name="Previous page")).to_be_enabled()
    third = page.url
    await page.reload()
    await page.get_by_role("button", name="Previous page").click()
    await page.wait_for_url(lambda url: url != third and "after=" in url)
    await page.get_by_role("button", name="Previous page").click()
    await page.wait_for_url(lambda url: "after=" not in url)
    await page.go_back()
    await page.wait_for_url(re.compile("after="))
    sent = await pages.page_as("viewer", third.removeprefix(dashboard.url))
    await sent.get_by_role("button", name="First page").click()
    await sent.wait_for_url(lambda url: "after=" not in url and "action=rule.created" in url)
    await dashboard.api("PUT", "/v1/rules", {"delete": [rule["rule_id"] for rule in rules]})


async def test_times_are_shown_in_the_viewers_zone_or_in_utc(pages: Pages, flow_id: str) -> None:
    page = await pages.page_as("viewer", "/audit?target=by-keyboard")
    moment = page.get_by_role("table").locator("time").first
    await expect(moment).to_contain_text("GMT+")
    await page.get_by_label("Time zone").select_option("utc")
    await expect(moment).to_contain_text("UTC")
    await page.reload()
    await expect(moment).to_contain_text("UTC")
