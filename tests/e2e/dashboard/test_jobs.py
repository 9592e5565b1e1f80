"""Operators find jobs, see why one failed or waits, replay and cancel them; what callers sent stays text."""

import json
import uuid
from typing import Any

import pytest
from playwright.async_api import Dialog, Page, expect
from yarl import URL

from tests.support.dashboard import PAGES, Dashboard
from tests.support.pages import NARROW, Pages
from tests.support.waiting import eventually

pytestmark = PAGES

SLOW = {"limit": 1, "window_seconds": 36_000}
HTML = "<img src=x onerror=\"window.ran='img'\"><script>window.ran='script'</script>"
BODY = '{"n": 12345678901234567890.10, "html": ' + json.dumps(HTML) + ', "n": 2}'


async def put_rule(dashboard: Dashboard, subject: str, drain: dict[str, Any], **queue: Any) -> str:  # noqa: ANN401
    """A rule of a test that defers all but the first request of this caller; the first is spent here."""
    rule_id = f"jobs-{uuid.uuid4().hex[:8]}"
    await dashboard.system.put_rule(
        rule_id, key_type="user", key_value=subject, **SLOW, on_limit="defer", drain=drain,
        queue={"max_wait_seconds": 1_000_000} | queue,
    )  # fmt: skip
    await dashboard.system.rule_is_known(rule_id, subject)
    await dashboard.system.request("GET", "/spends-the-limit", subject)
    return rule_id


async def deferred(dashboard: Dashboard, subject: str, target: str | URL, **more: Any) -> str:  # noqa: ANN401
    """The id of the job that a request becomes."""
    answer = await dashboard.system.request("POST", str(target), subject, **more)
    assert answer.status == 202, answer.body
    job_id: str = answer.json()["id"]
    return job_id


async def forced(dashboard: Dashboard, status: int) -> None:
    """Make the app server answer this to everything; 0: as it is asked."""
    async with dashboard.system.http.put(f"{dashboard.system.upstream}/-/status/{status}") as answer:
        assert answer.status == 204


async def failed(dashboard: Dashboard, subject: str, count: int) -> tuple[str, list[str]]:
    """A rule, and jobs of it that failed because the app server did; it does so no longer."""
    rule_id = await put_rule(dashboard, subject, {"limit": 100, "window_seconds": 1}, max_attempts=1)
    await forced(dashboard, 500)
    try:
        ids = [await deferred(dashboard, subject, f"/{subject}/{number}") for number in range(count)]
        for job_id in ids:
            assert (await dashboard.system.ended(job_id, subject))["status"] == "failed"
    finally:
        await forced(dashboard, 0)
    return rule_id, ids


async def sent(dashboard: Dashboard, job_ids: list[str]) -> list[int]:
    """The app server's answers to these jobs, in order."""
    return [one["status"] for one in await dashboard.system.arrivals() if one["job"] in job_ids]


async def test_why_a_job_failed_is_found_in_a_few_clicks_and_its_replay_succeeds(
    pages: Pages, dashboard: Dashboard
) -> None:
    rule_id, [job_id] = await failed(dashboard, "fay", 1)
    page = await pages.page_as("operator", "/")
    await page.get_by_role("link", name="Dead letters", exact=True).click()
    await page.get_by_label("Rule", exact=True).fill(rule_id)
    await page.get_by_role("link", name=job_id).click()
    await expect(page.get_by_role("alert").filter(has_text="The app server answered 500.")).to_be_visible()
    attempt = page.get_by_role("listitem").filter(has_text="Attempt 1")
    await expect(attempt).to_contain_text("the app server answered 500")
    await expect(attempt).to_contain_text("worker")
    await pages.assert_accessible(page)
    await pages.screenshot(page, "job-failed")
    await page.get_by_role("button", name="Replay", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Replay the job").click()
    await expect(page.get_by_role("listitem").filter(has_text="Succeeded")).to_be_visible()
    await expect(page.get_by_role("button", name="Replay", exact=True)).to_have_count(0)
    assert await sent(dashboard, [job_id]) == [500, 200]


async def test_all_that_match_are_replayed_with_progress(pages: Pages, dashboard: Dashboard) -> None:
    rule_id, ids = await failed(dashboard, "max", 12)
    _, others = await failed(dashboard, "moe", 1)
    page = await pages.page_as("operator", f"/dead-letters?rule_id={rule_id}")
    await expect(page.get_by_role("row")).to_have_count(13)
    await pages.assert_accessible(page)
    await pages.screenshot(page, "dead-letters")
    await page.get_by_role("button", name="Replay all that match").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_text("12 dead letters would be replayed.")).to_be_visible()
    assert await sent(dashboard, ids) == [500] * 12, "a count replays nothing"
    await pages.assert_accessible(page)
    await dialog.get_by_role("button", name="Replay them").click()
    progress = page.get_by_role("progressbar", name="Progress: Replay dead letters")
    await expect(page.get_by_text("100 %, 12 dead letters replayed")).to_be_visible()
    assert await progress.evaluate("(bar) => bar.value") == 1
    await pages.assert_accessible(page)
    await pages.screenshot(page, "operation")
    for job_id in ids:
        assert (await dashboard.system.ended(job_id, "max"))["status"] == "succeeded"
    assert sorted(await sent(dashboard, ids)) == [200] * 12 + [500] * 12
    assert await sent(dashboard, others) == [500], "what does not match is not touched"
    await page.get_by_role("link", name="Show what its filter finds now").click()
    await expect(page.get_by_text("No dead letter matches.")).to_be_visible()


async def test_those_that_are_checked_are_replayed_or_deleted(pages: Pages, dashboard: Dashboard) -> None:
    rule_id, [first, second, third] = await failed(dashboard, "cha", 3)
    page = await pages.page_as("operator", f"/dead-letters?rule_id={rule_id}")
    await page.get_by_label(f"Check {first}").check()
    await page.get_by_label(f"Check {second}").check()
    await page.get_by_role("button", name="Replay 2 checked").click()
    # Meanwhile somebody else deletes one of them.
    assert (await dashboard.api("DELETE", f"/v1/dead-letters/{second}")).status == 204
    await page.get_by_role("button", name="Replay the checked").click()
    outcome = page.get_by_role("status").filter(has_text="1 dead letter replayed.")
    await expect(outcome).to_contain_text(second)
    assert (await dashboard.system.ended(first, "cha"))["status"] == "succeeded"
    await page.get_by_label("Check all 1 on this page").check()
    await page.get_by_role("button", name="Delete 1 checked").click()
    confirm = page.get_by_role("button", name="Delete the checked")
    await expect(confirm).to_be_disabled()
    await page.get_by_label("Type delete to confirm.").fill("delete")
    await confirm.click()
    await expect(page.get_by_text("No dead letter matches.")).to_be_visible()
    assert (await dashboard.api("GET", f"/v1/jobs/{third}")).status == 404


async def test_an_operation_is_canceled_and_what_it_could_not_do_is_told_by_kind(
    pages: Pages, dashboard: Dashboard
) -> None:
    gone, ids = await failed(dashboard, "ned", 2)
    await dashboard.system.rules.delete_one({"_id": gone})
    page = await pages.page_as("operator", "/dead-letters?descriptor=user:ned")
    rows = page.get_by_role("link", name=ids[0])
    await expect(rows).to_be_visible()
    await page.get_by_role("button", name="Replay all that match").click()
    await page.get_by_role("button", name="Replay them").click()
    kind = page.get_by_role("row").filter(has_text="rule_not_in_force")
    await expect(kind).to_contain_text("the rule is deleted or disabled")
    await expect(kind.get_by_role("cell", name="2", exact=True)).to_be_visible()
    # One job a second, so that there is time to cancel.
    rule_id, slowly = await failed(dashboard, "nia", 20)
    await page.goto(f"{dashboard.url}/dead-letters?rule_id={rule_id}")
    await page.get_by_role("button", name="Delete all that match").click()
    await page.get_by_label("At most so many a second").fill("1")
    await page.get_by_label("Type delete to confirm.").fill("delete")
    await page.get_by_role("button", name="Delete them").click()
    await page.get_by_role("button", name="Cancel this operation").click()
    await page.get_by_role("button", name="Cancel the operation").click()
    await expect(page.get_by_text("canceled", exact=True)).to_be_visible()
    left = (await dashboard.api("GET", f"/v1/dead-letters?rule_id={rule_id}")).json()["dead_letters"]
    assert 0 < len(left) <= len(slowly), "the rest is not touched"
    await page.get_by_role("link", name="Operations", exact=True).click()
    await expect(page.get_by_role("row").filter(has_text=rule_id)).to_contain_text("canceled")
    await pages.assert_accessible(page)


async def test_a_waiting_job_is_found_by_its_address_and_canceled(pages: Pages, dashboard: Dashboard) -> None:
    await put_rule(dashboard, "wes", SLOW)
    before, job_id = [await deferred(dashboard, "wes", f"/wes/{number}") for number in range(2)]
    page = await pages.page_as("operator", "/jobs")
    await page.get_by_label("Job by its id or address").fill(f"{dashboard.system.url}/_penstock/jobs/{job_id}")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1, name=f"Job {job_id}")).to_be_visible()
    await expect(page.get_by_text("It waits for the rate that the rule").first).to_be_visible()
    await pages.screenshot(page, "job-waiting")
    await page.get_by_role("button", name="Cancel this job").click()
    await page.get_by_role("button", name="Cancel the job").click()
    await expect(page.get_by_role("listitem").filter(has_text="Canceled")).to_be_visible()
    assert (await dashboard.system.job(job_id, "wes"))["status"] == "canceled"
    assert (await dashboard.system.job(before, "wes"))["status"] in {"queued", "succeeded"}, "the other job goes on"
    assert await sent(dashboard, [job_id]) == []


async def test_all_jobs_that_match_are_canceled(pages: Pages, dashboard: Dashboard) -> None:
    rule_id = await put_rule(dashboard, "cai", SLOW)
    ids = [await deferred(dashboard, "cai", f"/cai/{number}") for number in range(6)]
    await eventually(lambda: _has_been_sent(dashboard, ids[0]), 20, "the drain rate permits the first at once")
    page = await pages.page_as("operator", "/jobs")
    await expect(page.get_by_text("To cancel many jobs at once, filter by rule")).to_be_visible()
    await page.get_by_label("Rule", exact=True).fill(rule_id)
    await page.get_by_label("Status", exact=True).select_option("waiting")
    await expect(page.get_by_role("row")).to_have_count(6)
    await pages.assert_accessible(page)
    await pages.screenshot(page, "jobs")
    await page.get_by_role("button", name="Cancel all that match").click()
    await expect(page.get_by_text("5 jobs would be canceled.")).to_be_visible()
    await page.get_by_label("Type cancel to confirm.").fill("cancel")
    await page.get_by_role("button", name="Cancel the jobs").click()
    await expect(page.get_by_text("100 %, 5 jobs canceled")).to_be_visible()
    statuses = [(await dashboard.system.job(job_id, "cai"))["status"] for job_id in ids]
    assert statuses == ["succeeded"] + ["canceled"] * 5


async def _has_been_sent(dashboard: Dashboard, job_id: str) -> bool:
    return bool(await sent(dashboard, [job_id]))


async def test_what_callers_sent_stays_text(pages: Pages, dashboard: Dashboard) -> None:
    rule_id = await put_rule(dashboard, HTML, SLOW)
    await deferred(dashboard, HTML, "/first")
    target = f"/{HTML.replace(' ', '%20')}?q={HTML.replace(' ', '%20')}"
    job_id = await deferred(
        dashboard, HTML, target.replace('"', "%22"), data=BODY, headers={"X-Html": HTML, "Content-Type": "text/html"}
    )
    page = await pages.page_as("operator", f"/jobs?rule_id={rule_id}&status=queued")
    dialogs: list[str] = []

    async def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        await dialog.dismiss()

    page.on("dialog", dismiss)
    await page.get_by_role("link", name=job_id).click()
    await expect(page.get_by_text(f"{HTML}, issuer")).to_be_visible()
    await expect(page.get_by_role("definition").filter(has_text=HTML).last).to_be_visible()
    body = page.get_by_role("region", name="Body of the request")
    await expect(body).to_contain_text('"n": 12345678901234567890.10,')
    await expect(body).to_contain_text('"n": 2')
    await expect(body).to_contain_text("<script>window.ran='script'</script>")
    await assert_nothing_ran(page, dialogs)
    await page.get_by_role("link", name="Explain a request like this").click()
    await expect(page.get_by_label("Caller", exact=False).first).to_be_visible()
    await assert_nothing_ran(page, dialogs)
    await page.goto(f"{dashboard.url}/jobs/<img src=x onerror='window.ran=1'>")
    await expect(page.get_by_text("There is no such job")).to_be_visible()
    await assert_nothing_ran(page, dialogs)


async def assert_nothing_ran(page: Page, dialogs: list[str]) -> None:
    assert dialogs == []
    assert await page.evaluate("() => window.ran") is None
    assert await page.evaluate("() => document.querySelectorAll('main img, main script').length") == 0


@pytest.mark.parametrize("kind", ["binary", "none"])
async def test_a_body_that_is_no_text_is_shown_as_such(pages: Pages, dashboard: Dashboard, kind: str) -> None:
    subject = f"bo-{kind}"
    await put_rule(dashboard, subject, SLOW)
    await deferred(dashboard, subject, "/first")
    data = bytes(range(256)) if kind == "binary" else None
    job_id = await deferred(dashboard, subject, "/x", data=data, headers={"Content-Type": "application/octet-stream"})
    page = await pages.page_as("operator", f"/jobs/{job_id}")
    if kind == "none":
        await expect(page.get_by_text("The request has no body.")).to_be_visible()
        return
    await expect(page.get_by_text("256 B, application/octet-stream, not text, shown in base64")).to_be_visible()
    await expect(page.get_by_role("region", name="Body of the request")).to_contain_text("AAECAwQFBgcICQ")


async def test_a_viewer_sees_no_contents_and_no_controls(pages: Pages, dashboard: Dashboard) -> None:
    rule_id, [job_id] = await failed(dashboard, "vic", 1)
    page = await pages.page_as("viewer", f"/dead-letters?rule_id={rule_id}", NARROW)
    await expect(page.get_by_text("an operator can replay and delete dead letters")).to_be_visible()
    await page.get_by_role("link", name=job_id).click()
    await expect(page.get_by_text("an operator can replay or delete this job")).to_be_visible()
    await expect(
        page.get_by_text("an operator can see requests and answers, without credentials").first
    ).to_be_visible()
    await pages.assert_accessible(page)
    for path in (f"/jobs/{job_id}", f"/dead-letters?rule_id={rule_id}", f"/jobs?rule_id={rule_id}"):
        await page.goto(dashboard.url + path)
        await expect(page.get_by_text("Your role viewer may look").first).to_be_visible()
        await expect(page.get_by_role("link", name=job_id).or_(page.get_by_text("/vic/0"))).to_have_count(
            0 if path.startswith("/jobs/") else 1
        )
        offered = page.get_by_role("main").get_by_role("button", name="Replay")
        for name in ("Delete", "Cancel"):
            offered = offered.or_(page.get_by_role("main").get_by_role("button", name=name))
        await expect(offered).to_have_count(0)
        await expect(page.get_by_role("checkbox")).to_have_count(0)
