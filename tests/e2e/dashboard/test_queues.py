"""Operators see flows drain, change their rates, pause, resume and purge them, and the app server feels it."""

import asyncio
import re
from itertools import pairwise
from statistics import median
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.support.dashboard import PAGES, Dashboard
from tests.support.pages import NARROW, WIDE, Pages
from tests.support.waiting import eventually

pytestmark = PAGES

HOSTILE = "<img src=x onerror=alert(1)>"


async def put_rule(dashboard: Dashboard, rule_id: str, subject: str, **fields: Any) -> None:  # noqa: ANN401
    """A rule for one caller that defers what is over one request a minute, with a drain rate of its own."""
    quota = {"key_type": "user", "key_value": subject, "limit": 1, "window_seconds": 60, "on_limit": "defer"}
    await dashboard.system.put_rule(rule_id, **quota | fields)
    await dashboard.system.rule_is_known(rule_id, subject)


async def deferred(dashboard: Dashboard, subject: str, jobs: int, path: str = "") -> str:
    """Fill a caller's flow, and return its id."""
    for number in range(jobs + 1):  # the first one is within the limit
        answer = await dashboard.system.request("POST", f"/{path or subject}/{number}", subject)
        assert answer.status == (202 if number else 200), answer.body
    job = (await dashboard.api("GET", f"/v1/jobs/{answer.headers['Penstock-Job-Id']}")).json()
    return str(job["flow_id"])


async def arrivals_of(dashboard: Dashboard, subject: str) -> list[float]:
    """When the jobs of a caller arrived at the app server."""
    found = await dashboard.system.arrivals()
    return [one["at"] for one in found if one["target"].startswith(f"/{subject}/") and one["job"]]


async def arrive(dashboard: Dashboard, subject: str, jobs: int) -> list[float]:
    async def all_have() -> bool:
        return len(await arrivals_of(dashboard, subject)) >= jobs

    await eventually(all_have, 30, f"{jobs} jobs of {subject} have arrived")
    return await arrivals_of(dashboard, subject)


async def set_for(dashboard: Dashboard, subject: str) -> list[dict[str, Any]]:
    """What is set for the flows of a caller."""
    settings = (await dashboard.api("GET", "/v1/flow-settings")).json()["settings"]
    return [one for one in settings if one["descriptor"] == f"user:{subject}"]


def row_of(page: Page, table: str, subject: str) -> Locator:
    return page.get_by_role("table", name=table, exact=True).get_by_role("row").filter(has_text=f"user:{subject}")


async def test_a_rate_is_changed_within_two_clicks_and_the_app_server_feels_it(
    pages: Pages, dashboard: Dashboard
) -> None:
    slow = {"limit": 1, "window_seconds": 1, "burst": 1}
    await put_rule(dashboard, "rated", "dora", drain=slow)
    await deferred(dashboard, "dora", 40)
    page = await pages.page_as("operator", "/")
    row = row_of(page, "The flows with the most jobs", "dora")
    await expect(row).to_contain_text("draining")
    await expect(row).to_contain_text("of 1/s")
    before = await arrive(dashboard, "dora", 4)

    await row.get_by_role("button", name="Change rate of user:dora").click()
    dialog = page.get_by_role("dialog", name="Change the drain rate")
    await expect(dialog.get_by_label("Jobs")).to_have_value("1")
    await dialog.get_by_label("Jobs").fill("20")
    await expect(dialog.get_by_role("row", name="permitted rate")).to_contain_text("20/s")
    soon = dialog.get_by_role("row", name=re.compile("jobs waiting, empty in"))
    await expect(soon.get_by_role("cell").nth(1)).to_have_text(re.compile(r"^1\.\d s$|^[12] s$"))
    assert await set_for(dashboard, "dora") == [], "nothing was changed yet"
    await expect(dialog.get_by_label("How long")).to_have_value("600")
    await dialog.get_by_role("button", name="Set the rate").click()
    await expect(dialog).to_have_count(0)

    arrived = await arrive(dashboard, "dora", 40)
    gaps = [late - early for early, late in pairwise(arrived)]
    assert median(gaps[-15:]) < 0.5 * median(gaps[: len(before) - 1])
    await expect(row).to_have_count(0)

    await page.get_by_role("navigation", name="Areas").get_by_role("link", name="Queues").click()
    setting = row_of(page, "What is set for flows", "dora")
    await expect(setting).to_contain_text(re.compile(r"20 a second until .* in (9 min|10 min)"))
    await setting.get_by_role("button", name="Remove what is set for user:dora").click()
    await page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    await expect(setting).to_have_count(0)
    assert await set_for(dashboard, "dora") == []


async def test_the_rate_of_a_rule_is_changed_for_a_while(pages: Pages, dashboard: Dashboard) -> None:
    await put_rule(dashboard, "for-a-while", "fred", paused=True)
    await deferred(dashboard, "fred", 3)
    page = await pages.page_as("operator", "/flows?rule_id=for-a-while")
    await page.get_by_role("button", name="Change rate of user:fred").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("each flow of the rule for-a-while").check()
    await dialog.get_by_label("Jobs").fill("5")
    await dialog.get_by_label("in each").select_option("second")
    await expect(dialog).to_contain_text("nothing is sent until it is resumed")
    await dialog.get_by_label("How long").select_option("for 10 minutes")
    await dialog.get_by_role("button", name="Set the rate").click()
    await expect(dialog).to_have_count(0)
    rule = (await dashboard.api("GET", "/v1/rules/for-a-while")).json()
    assert (rule["drain"]["limit"], rule["drain"]["window_seconds"]) == (5, 1)
    assert rule["temporary"] is not None

    await page.get_by_role("button", name="Resume rule for-a-while").click()
    await page.get_by_role("dialog").get_by_role("button", name="Resume the rule").click()
    await arrive(dashboard, "fred", 3)
    await expect(page.get_by_text("No flow with jobs is like that.")).to_be_visible()


async def test_a_caller_is_paused_and_resumed(pages: Pages, dashboard: Dashboard) -> None:
    async def parked() -> bool:
        job = await dashboard.system.job(last, "paula")
        in_flight = (await dashboard.api("GET", f"/v1/flows/{flow}")).json()["in_flight"]
        return (job["status"], job["eta_seconds"], in_flight) == ("queued", None, 0)

    slow, fast = ({"limit": limit, "window_seconds": 1, "burst": 1} for limit in (4, 200))
    await put_rule(dashboard, "pausable", "paula", drain=slow, paused=True)
    flow = await deferred(dashboard, "paula", 99)
    last = (await dashboard.system.request("POST", "/paula/last", "paula")).json()["id"]
    page = await pages.page_as("operator", "/flows?rule_id=pausable")
    await expect(row_of(page, "Flows", "paula")).to_be_visible()
    await dashboard.api("POST", "/v1/rules/pausable/drain/resume")
    await arrive(dashboard, "paula", 1)
    await page.get_by_role("button", name="Pause user:paula").click()
    row = row_of(page, "Flows", "paula")
    await expect(row).to_contain_text("operator has paused it.")
    await expect(page.get_by_role("link", name="1 caller paused")).to_be_visible()
    await eventually(parked, 30, "the worker knows of the pause, and what was being sent has been answered")
    arrived = len(await arrivals_of(dashboard, "paula"))
    await asyncio.sleep(1.5)
    assert len(await arrivals_of(dashboard, "paula")) == arrived < 100
    elsewhere = await pages.page_as("viewer", "/audit")
    await elsewhere.get_by_role("link", name="1 caller paused").click()
    await expect(row_of(elsewhere, "Flows", "paula")).to_be_visible()

    await row.get_by_role("button", name="Resume user:paula").click()
    await arrive(dashboard, "paula", arrived + 1)
    await dashboard.api("PATCH", "/v1/rules/pausable", {"drain": fast})
    await arrive(dashboard, "paula", 100)
    await expect(page.get_by_role("link", name="1 caller paused")).to_have_count(0)


async def test_a_flow_is_purged_once_the_word_is_typed(pages: Pages, dashboard: Dashboard) -> None:
    await put_rule(dashboard, "purged", "pia", paused=True)
    flow = await deferred(dashboard, "pia", 12)
    page = await pages.page_as("operator", "/flows?rule_id=purged")
    await page.get_by_role("link", name="user:pia").click()
    await expect(page.get_by_role("heading", level=1, name="Queue of user:pia")).to_be_visible()
    await page.get_by_role("button", name="Purge", exact=True).click()
    dialog = page.get_by_role("dialog", name="Cancel everything that waits here?")
    await expect(dialog).to_contain_text("12 jobs of user:pia")
    confirm = dialog.get_by_role("button", name="Purge", exact=True)
    await expect(confirm).to_be_disabled()
    await dialog.get_by_role("textbox").fill("purge")
    await confirm.click()
    await expect(page.get_by_text("12 jobs of user:pia are canceled.")).to_be_visible()
    await expect(page.get_by_text("This flow has no jobs.")).to_be_visible()
    assert (await dashboard.api("GET", f"/v1/flows/{flow}")).status == 404
    assert await arrivals_of(dashboard, "pia") == []


async def test_a_viewer_is_offered_nothing_that_would_be_refused(pages: Pages, dashboard: Dashboard) -> None:
    await put_rule(dashboard, "viewed", "vincent", paused=True)
    flow = await deferred(dashboard, "vincent", 2)
    for path in ("/", "/flows?rule_id=viewed", f"/flows/{flow}"):
        page = await pages.page_as("viewer", path)
        await expect(page.get_by_text("user:vincent").first).to_be_visible()
        await expect(page.get_by_text(re.compile("Your role viewer may look; an operator can"))).to_be_visible()
        offered = page.get_by_role("main").get_by_role("button", name=re.compile("rate|Pause|Resume|Purge|Remove"))
        assert await offered.count() == 0
    await dashboard.api("POST", f"/v1/flows/{flow}/purge")


async def test_queues_are_accessible_and_show_a_hostile_caller_as_text(pages: Pages, dashboard: Dashboard) -> None:
    await put_rule(dashboard, "hostile", HOSTILE, paused=True)
    flow = await deferred(dashboard, HOSTILE, 1, "hostile")
    caller = (await dashboard.api("GET", f"/v1/flows/{flow}")).json()["caller"]
    assert "onerror" in caller
    page = await pages.page_as("operator", "/flows?rule_id=hostile")
    for path, shown in (
        ("/flows?rule_id=hostile", caller),
        (f"/flows/{flow}", f"Queue of {caller}"),
        ("/flows?state=held", "No flow with jobs is like that."),
    ):
        await page.goto(dashboard.url + path)
        await expect(page.get_by_text(shown).first).to_be_visible()
        assert await page.get_by_role("img").count() == 0
        for width, height in (WIDE, NARROW):
            await page.set_viewport_size({"width": width, "height": height})
            await pages.assert_accessible(page)
