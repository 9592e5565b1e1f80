"""Rules on the dashboard: what is written there is what edges do, and nobody writes over what they have not seen."""

import re

from playwright.async_api import Page, expect

from tests.support.dashboard import PAGES, Dashboard
from tests.support.pages import NARROW, WIDE, Pages
from tests.support.waiting import eventually

pytestmark = PAGES

HOUR_S = 3600
RULE_PAGES = {
    "rules": "?search=inert",
    "rule": "/id/inert",
    "rule-form": "/id/inert/edit",
    "rule-history": "/id/inert/history",
    "rule-new": "/new",
}
SCRIPT = "<script>document.title = 'ran'</script>"


async def limit_of(dashboard: Dashboard, subject: str, rule_id: str) -> int | None:
    """How many requests the edge permits a caller by a rule; None: the rule does not apply."""
    answer = await dashboard.system.request("GET", "/_penstock/limits", subject)
    return next((one["limit"] for one in answer.json()["limits"] if one["rule_id"] == rule_id), None)


async def obeyed(dashboard: Dashboard, subject: str, rule_id: str, limit: int | None) -> None:
    async def does() -> bool:
        return await limit_of(dashboard, subject, rule_id) == limit

    await eventually(does, 30, f"{rule_id} limits {subject} to {limit}")


async def statuses(dashboard: Dashboard, subject: str, count: int) -> list[int]:
    return [(await dashboard.system.request("GET", "/", subject)).status for _ in range(count)]


async def create(dashboard: Dashboard, rule_id: str, **fields: object) -> None:
    rule = {"rule_id": rule_id, "key_type": "user", "limit": 100, "window_seconds": HOUR_S, **fields}
    answer = await dashboard.api("POST", "/v1/rules", rule)
    assert answer.status == 201, answer.body


async def stored(dashboard: Dashboard, rule_id: str) -> dict[str, object]:
    fields: dict[str, object] = (await dashboard.api("GET", f"/v1/rules/{rule_id}")).json()
    return fields


async def field(page: Page, name: str, value: str) -> None:
    """Fill the first field with this name: those of the rule's own limit come before those of its drain rate."""
    await page.get_by_role("textbox", name=name, exact=True).first.fill(value)


async def group(page: Page, title: str) -> None:
    """Open a group of fields."""
    await page.get_by_role("heading", level=2, name=title, exact=True).click()


async def test_a_rule_that_is_created_in_the_form_is_obeyed(pages: Pages, dashboard: Dashboard) -> None:
    page = await pages.page_as("admin", "/rules")
    await page.get_by_role("link", name="New rule").click()
    save = page.get_by_role("button", name="Save")
    await save.click()
    await expect(page.get_by_text("Rule id: required.")).to_be_visible()
    await expect(page.get_by_role("textbox", name="Rule id")).to_be_focused()
    await field(page, "Rule id", "made-here")
    await field(page, "Value", "maker")
    await field(page, "Limit", "2")
    await field(page, "Window (seconds)", str(HOUR_S))
    await group(page, "Cost")
    await field(page, "Units", "3")
    await save.click()
    await expect(page.get_by_text("Cost: must be at most burst (2).")).to_be_visible()
    await field(page, "Units", "1")
    await save.click()
    await expect(page.get_by_role("heading", level=1, name="Rule made-here", exact=True)).to_be_visible()
    await expect(page.get_by_text("User maker: 2 per hour, then rejected.")).to_be_visible()
    await obeyed(dashboard, "maker", "made-here", 2)
    assert await statuses(dashboard, "maker", 3) == [200, 200, 429]
    await page.get_by_role("link", name="Rules", exact=True).click()
    await page.get_by_label("Search").fill("made-h")
    await page.get_by_role("link", name="made-here").click()
    await page.get_by_role("button", name="Delete…").click()
    delete = page.get_by_role("dialog").get_by_role("button", name="Delete")
    await expect(delete).to_be_disabled()
    await page.get_by_label("Type made-here to confirm.").fill("made-here")
    await delete.click()
    await expect(page.get_by_role("heading", level=1, name="Rules", exact=True)).to_be_visible()
    await obeyed(dashboard, "maker", "made-here", None)


async def test_a_change_is_previewed_before_it_is_saved(pages: Pages, dashboard: Dashboard) -> None:
    await create(dashboard, "previewed", key_value="peter")
    await obeyed(dashboard, "peter", "previewed", 100)
    assert await statuses(dashboard, "peter", 6) == [200] * 6
    page = await pages.page_as("admin", "/rules/id/previewed/edit")
    await field(page, "Limit", "2")
    preview = page.get_by_role("button", name="Preview on real traffic")

    async def is_whole() -> bool:
        async with page.expect_response(re.compile("/preview")) as answered:
            await preview.click()
        found = await (await answered.value).json()
        return bool(found.get("requests") == {"requests": 6, "margin": 0})

    # What an edge has seen is left out while it is too busy to say it.
    await eventually(is_whole, 30, "the preview is about all requests")
    await expect(page.get_by_text("It would not have forwarded at once 4 of 6 requests")).to_be_visible()
    await expect(page.get_by_role("row", name="Rejected 0 4")).to_be_visible()
    await expect(page.get_by_role("row", name="user:peter 6 6 2")).to_be_visible()
    assert (await stored(dashboard, "previewed"))["limit"] == 100
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("User peter: 2 per hour, then rejected.")).to_be_visible()
    await obeyed(dashboard, "peter", "previewed", 2)
    assert (await statuses(dashboard, "peter", 1)) == [429], "what was spent stays spent"


async def test_a_new_rule_is_previewed_on_the_requests_to_another_one(pages: Pages, dashboard: Dashboard) -> None:
    await create(dashboard, "shared", key_type="claim:team", key_value="*", shadow=True, priority=-7)
    page = await pages.page_as("admin", "/rules/new")
    await field(page, "Rule id", "of-one-team")
    await page.get_by_label("Count by").select_option("claim")
    await field(page, "Name of the claim", "team")
    await field(page, "Value", "red")
    await field(page, "Limit", "1")
    await field(page, "Window (seconds)", "60")
    await page.get_by_role("button", name="Preview on real traffic").click()
    await expect(page.get_by_label("On the requests to the rule")).to_have_value("shared")
    await expect(page.get_by_text("No edge has seen requests to the rule 'shared' lately")).to_be_visible()
    assert (await dashboard.api("GET", "/v1/rules/of-one-team")).status == 404, "nothing was written"


async def test_two_people_who_change_a_rule_see_both_changes(pages: Pages, dashboard: Dashboard) -> None:
    claims = {"tenant": 2**53 + 1}
    await create(dashboard, "contested", key_value="carl", limit=5, match={"claims": claims})
    page = await pages.page_as("admin", "/rules/id/contested/edit")
    await field(page, "Limit", "9")
    await field(page, "Priority", "7")
    await dashboard.api("PATCH", "/v1/rules/contested", {"limit": 20, "queue": {"max_attempts": 2}})
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="Somebody else has changed this rule")).to_be_visible()
    await pages.assert_accessible(page)
    assert (await stored(dashboard, "contested"))["limit"] == 20, "nothing is written over"
    save = page.get_by_role("button", name="Save the merged rule")
    await expect(save).to_be_disabled()
    assert await page.get_by_label("Your priority").is_checked()
    assert await page.get_by_label("Their queue.max_attempts").is_checked()
    await page.get_by_label("Your limit, window_seconds, burst, algorithm").check()
    await dashboard.api("PATCH", "/v1/rules/contested", {"paused": True})
    await save.click()
    await expect(page.get_by_label("Their paused")).to_be_checked()
    await page.get_by_role("button", name="Save the merged rule").click()
    await expect(page.get_by_role("heading", level=1, name="Rule contested", exact=True)).to_be_visible()
    rule = await stored(dashboard, "contested")
    assert (rule["limit"], rule["priority"], rule["queue"], rule["paused"]) == (9, 7, {"max_attempts": 2}, True)
    assert rule["match"] == {"claims": claims}, "integers of 64 bits are not rounded"


async def test_a_version_of_the_history_is_restored(pages: Pages, dashboard: Dashboard) -> None:
    await create(dashboard, "restored", key_value="rita", limit=5)
    await dashboard.api("PATCH", "/v1/rules/restored", {"limit": 50})
    await obeyed(dashboard, "rita", "restored", 50)
    page = await pages.page_as("admin", "/rules/id/restored/history")
    await expect(page.get_by_text("limit 5 → 50")).to_be_visible()
    await pages.assert_accessible(page)
    await page.get_by_role("button", name="Restore version 1…").click()
    dialog = page.get_by_role("dialog", name="Restore version 1 of restored")
    await expect(dialog.get_by_text("limit 50 → 5")).to_be_visible()
    await dialog.get_by_role("button", name="Restore").click()
    await expect(page.get_by_role("button", name="Restore version 2…")).to_be_visible()
    await obeyed(dashboard, "rita", "restored", 5)


async def test_a_rule_is_limited_for_a_while_paused_and_disabled(pages: Pages, dashboard: Dashboard) -> None:
    await create(dashboard, "switched", key_value="sam", limit=5)
    page = await pages.page_as("admin", "/rules/id/switched")
    await page.get_by_role("button", name="Another limit for a while…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("How long")).to_have_value("600")
    await dialog.get_by_label("Requests").fill("3")
    await dialog.get_by_role("button", name="Apply").click()
    await expect(page.get_by_text("In force now: 3 per hour.")).to_be_visible()
    await obeyed(dashboard, "sam", "switched", 3)
    await page.get_by_role("button", name="End it now…").click()
    await page.get_by_role("dialog").get_by_role("button", name="End it now").click()
    await expect(page.get_by_text("In force now")).to_have_count(0)
    await obeyed(dashboard, "sam", "switched", 5)
    await page.get_by_role("button", name="Disable…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    await expect(page.get_by_role("button", name="Enable…")).to_be_visible()
    await obeyed(dashboard, "sam", "switched", None)
    operators = await pages.page_as("operator", "/rules/id/switched")
    await operators.get_by_role("button", name="Pause draining…").click()
    await operators.get_by_role("dialog").get_by_role("button", name="Pause").click()
    await expect(operators.get_by_text("Paused: does not drain")).to_be_visible()
    assert (await stored(dashboard, "switched"))["paused"] is True


async def test_a_viewer_is_offered_nothing_that_would_be_refused(pages: Pages, dashboard: Dashboard) -> None:
    await create(dashboard, "looked-at", key_value="vera")
    await dashboard.api("PATCH", "/v1/rules/looked-at", {"limit": 50})
    for path in ("", "/new", "/id/looked-at", "/id/looked-at/edit", "/id/looked-at/history"):
        page = await pages.page_as("viewer", f"/rules{path}")
        main = page.get_by_role("main")
        await expect(main.get_by_role("heading", level=1)).to_be_visible()
        await expect(main.get_by_text("Your role viewer may look;").first).to_be_visible()
        if path in {"/id/looked-at", "/id/looked-at/history"}:
            await expect(
                main.get_by_text("vera" if path == "/id/looked-at" else "limit 100 → 50").first
            ).to_be_visible()
        for name in ("New rule", "Edit"):
            await expect(main.get_by_role("link", name=name, exact=True)).to_have_count(0)
        await expect(main.get_by_role("button", name="…")).to_have_count(0)
        await expect(main.get_by_role("button", name="Save")).to_have_count(0)
        await page.close()


async def test_the_pages_are_accessible_and_what_a_rule_holds_is_text(pages: Pages, dashboard: Dashboard) -> None:
    fields = {
        "key_value": SCRIPT,
        "match": {"path_prefix": f"/{SCRIPT}"},
        "on_limit": "defer",
        "queue": {"max_depth": 5},
    }
    schedule = [{"from": "00:00", "to": "00:00", "drain": {"limit": 5, "window_seconds": 1}}]
    await create(dashboard, "inert", **fields, limits=[{"limit": 1000, "window_seconds": 86_400}], schedule=schedule)
    await dashboard.system.put_rule("not-a-rule", key_type="user", key_value=SCRIPT, limit=5, window_seconds=1, cost=9)
    for size in (WIDE, NARROW):
        for name, path in RULE_PAGES.items():
            page = await pages.page_as("admin", f"/rules{path}", size=size)
            await expect(page.get_by_role("main").get_by_role("heading", level=1)).to_be_visible()
            if path == "/id/inert/edit":
                await expect(page.get_by_role("button", name="Save")).to_be_visible()
            elif path != "/new":
                await expect(page.get_by_text(SCRIPT).first).to_be_visible()
            if size == WIDE:
                await pages.screenshot(page, name)
            if path == "/id/inert/edit":
                for title in ("Which requests", "More limits", "Cost", "Schedule", "Queue", "State and failure"):
                    await group(page, title)
            await pages.assert_accessible(page)
            assert "ran" not in await page.title()
            await page.close()
    page = await pages.page_as("admin", "/rules")
    await expect(page.get_by_text("not-a-rule: cost")).to_be_visible()
    await page.get_by_role("link", name="not-a-rule").click()
    await expect(page.get_by_text("The document of this rule is not valid")).to_be_visible()
    assert await page.title() == "Rule not-a-rule · Penstock"
