"""What the dashboard explains is what edges do, and who changed what is found in the audit."""

from playwright.async_api import expect

from tests.support.dashboard import PAGES, Dashboard
from tests.support.pages import Pages

pytestmark = PAGES

HOUR_S = 3600


async def test_an_explanation_is_what_the_edge_does(pages: Pages, dashboard: Dashboard) -> None:
    rule = {"rule_id": "explained", "key_type": "user", "key_value": "ella", "limit": 1, "window_seconds": HOUR_S}
    assert (await dashboard.api("PUT", "/v1/rules/explained", rule)).status in {200, 201}
    await dashboard.system.rule_is_known("explained", "ella")
    page = await pages.page_as("viewer", "/explain")
    await page.get_by_label("Caller").fill("ella")
    await page.get_by_label("Path").fill("/x")
    await page.get_by_label("Headers").fill("X-Api-Key: secret-of-ella")
    await page.get_by_role("button", name="Explain").click()
    await expect(page.get_by_text("Decision: forward")).to_be_visible()
    assert (await dashboard.system.request("GET", "/x", "ella")).status == 200, "explaining spent nothing"
    await expect(page.get_by_text("Decision: reject")).to_be_visible()
    await expect(page.get_by_text("0 of 1 left")).to_be_visible()
    assert (await dashboard.system.request("GET", "/x", "ella")).status == 429
    assert "secret" not in page.url
    colleague = await pages.page_as("viewer", page.url.removeprefix(dashboard.url))
    await expect(colleague.get_by_text("because the limit explained refuses it now")).to_be_visible()
    await colleague.get_by_role("link", name="explained").click()
    await expect(colleague.get_by_role("heading", level=1, name="explained")).to_be_visible()


async def test_what_cannot_be_explained_says_what_to_do(pages: Pages) -> None:
    page = await pages.page_as("viewer", "/explain?ip=nonsense")
    await expect(page.get_by_role("alert")).to_contain_text("ip: ")
    await page.get_by_label("Claims").fill("gold")
    await page.get_by_role("button", name="Explain").click()
    await expect(page.get_by_text("Claims: “gold” has no name and value.")).to_be_visible()


async def test_a_change_is_found_in_the_audit_and_leads_to_its_rule(pages: Pages, dashboard: Dashboard) -> None:
    rule = {"rule_id": "audited", "key_type": "user", "key_value": "<b>", "limit": 5, "window_seconds": 60}
    assert (await dashboard.api("PUT", "/v1/rules/audited", rule)).status in {200, 201}
    page = await pages.page_as("viewer", "/audit")
    await page.get_by_label("What", exact=True).fill("audited")
    await expect(page.get_by_role("row")).to_have_count(2)
    assert "target=audited" in page.url
    await dashboard.api("PATCH", "/v1/rules/audited", {"limit": 7, "queue": {"max_attempts": 9}})
    changed = page.get_by_role("row", name="rule.changed")
    await expect(changed).to_contain_text("limit: 5 → 7")
    await expect(changed).to_contain_text("queue.max_attempts: 9")
    await expect(changed).not_to_contain_text("window_seconds")
    await page.get_by_label("From").fill("2099-01-01T00:00:00")
    await expect(page.get_by_text("No change is like this.")).to_be_visible()
    await page.get_by_label("From").fill("")
    await changed.get_by_role("link", name="audited").click()
    await expect(page.get_by_role("heading", level=1, name="audited")).to_be_visible()
