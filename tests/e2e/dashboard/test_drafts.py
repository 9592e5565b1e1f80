"""What is typed into a form outlives the session, and is not lost by leaving the page without a word."""

import json
import math
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Dialog, Page, expect

from app.settings import Settings
from tests.support.dashboard import PAGES, Dashboard
from tests.support.pages import NARROW, WIDE, Pages

pytestmark = PAGES

Opened = Callable[[str, str, str], Awaitable[Page]]

HOUR_S = 3600
LEEWAY_S = int(Settings.model_fields["jwt_leeway_s"].default)
"""How long the admin process accepts a token that has expired."""

KEPT = "penstock.drafts"

NOTE_WHAT_IS_KEPT = """
() => addEventListener("pagehide", () => localStorage.setItem("left", JSON.stringify(sessionStorage)))
"""


def token(dashboard: Dashboard, name: str, role: str, lasts_s: int = HOUR_S) -> str:
    claims = {"aud": "penstock-admin", "penstock_role": role, "exp": int(time.time()) + lasts_s}
    return dashboard.system.issuer.token(name, **claims)


async def page_of(pages: Pages, dashboard: Dashboard, name: str, role: str, path: str, lasts_s: int) -> Page:
    """A page of an operator whose session ends then. It is signed in once, not again with each load of a page."""
    page = await pages.signed_out("/docs/favicon-32x32.png")
    brief = {"token": token(dashboard, name, role, lasts_s - LEEWAY_S), "name": name, "role": role, "expiresAt": None}
    await page.evaluate("(brief) => sessionStorage.setItem('penstock.session', brief)", json.dumps(brief))
    await page.goto(dashboard.url + path)
    return page


@pytest_asyncio.fixture(loop_scope="package", scope="module")
async def brief_s(dashboard: Dashboard, browser: Browser) -> int:
    """How long the sessions of these tests last: on this machine enough to open a page and to type."""
    pages = Pages(dashboard, browser)
    try:
        for _ in range(2):  # the first time the browser has to start more of itself
            begun_s = time.monotonic()
            page = await page_of(pages, dashboard, "ada", "admin", "/rules/new", HOUR_S)
            await fill(page, Rule_id="how-long-it-takes")
            took_s = time.monotonic() - begun_s
    finally:
        await pages.close()
    print(f"a page was opened and typed into after {took_s:.1f} s")
    return math.ceil(3 + 4 * took_s)


@pytest.fixture
def opened(pages: Pages, dashboard: Dashboard, brief_s: int) -> Opened:
    """Opens a page of an operator with this name and role, whose session ends soon."""
    return lambda name, role, path: page_of(pages, dashboard, name, role, path, brief_s)


def field(page: Page, name: str) -> Any:  # noqa: ANN401 - a locator
    return page.get_by_role("textbox", name=name, exact=True).first


async def fill(page: Page, **values: str) -> None:
    for name, value in values.items():
        await field(page, name.replace("_", " ")).fill(value)


async def assert_filled(page: Page, **values: str) -> None:
    for name, value in values.items():
        await expect(field(page, name.replace("_", " "))).to_have_value(value)


async def sign_in_again(page: Page, with_token: str) -> None:
    """Give a token to the dialog that comes when the session has ended."""
    dialog = page.get_by_role("dialog", name="Sign in again")
    await expect(dialog).to_be_visible()
    await dialog.get_by_label("Token of the admin API").fill(with_token)
    await dialog.get_by_role("button", name="with a token").click()
    await expect(dialog).to_have_count(0)


async def stored(dashboard: Dashboard, rule_id: str) -> dict[str, Any]:
    rule: dict[str, Any] = (await dashboard.api("GET", f"/v1/rules/{rule_id}")).json()
    return rule


async def create(dashboard: Dashboard, rule_id: str, **fields: object) -> None:
    rule = {"rule_id": rule_id, "key_type": "user", "key_value": rule_id, "limit": 9, "window_seconds": HOUR_S}
    answer = await dashboard.api("POST", "/v1/rules", rule | fields)
    assert answer.status == 201, answer.body


async def test_a_form_is_as_it_was_after_the_session_has_ended(
    opened: Opened, pages: Pages, dashboard: Dashboard
) -> None:
    page = await opened("ada", "admin", "/rules/new")
    await fill(page, Rule_id="outlives-me", Value="outlives-me", Limit="7")
    await field(page, "Limit").focus()
    dialog = page.get_by_role("dialog", name="Sign in again")
    await expect(dialog).to_contain_text("Sign in again as ada")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_visible()
    for width, height in (NARROW, WIDE):
        await page.set_viewport_size({"width": width, "height": height})
        await pages.assert_accessible(page)
    await sign_in_again(page, token(dashboard, "ada", "admin"))
    await expect(field(page, "Limit")).to_be_focused()
    await assert_filled(page, Rule_id="outlives-me", Value="outlives-me", Limit="7")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await field(page, "Window (seconds)").fill(str(HOUR_S))
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", level=1, name="Rule outlives-me", exact=True)).to_be_visible()
    assert (await stored(dashboard, "outlives-me"))["updated_by"] == "ada"


async def test_a_dialog_stays_as_it_was_too_and_a_refused_change_can_be_made_again(
    opened: Opened, brief_s: int, dashboard: Dashboard
) -> None:
    await create(dashboard, "in-a-dialog")
    page = await opened("ada", "admin", "/rules/id/in-a-dialog")
    await page.get_by_role("button", name="Pause updates").click()
    await page.get_by_role("button", name="Another limit for a while…").click()
    limit = page.get_by_role("dialog", name="Another limit for in-a-dialog")
    await limit.get_by_label("Requests").fill("3")
    await page.wait_for_timeout(1000 * brief_s)
    await limit.get_by_role("button", name="Apply").click()
    await sign_in_again(page, token(dashboard, "ada", "admin"))
    await expect(limit.get_by_label("Requests")).to_have_value("3")
    assert (await stored(dashboard, "in-a-dialog"))["limit"] == 9
    await limit.get_by_role("button", name="Apply").click()
    await expect(limit).to_have_count(0)
    assert (await stored(dashboard, "in-a-dialog"))["limit"] == 3


async def test_somebody_else_does_not_get_what_was_typed(opened: Opened, dashboard: Dashboard) -> None:
    page = await opened("ada", "admin", "/rules/new")
    await fill(page, Rule_id="mine-alone")
    await sign_in_again(page, token(dashboard, "eve", "admin"))
    await assert_filled(page, Rule_id="")
    await expect(page.get_by_text("eve (admin)")).to_be_visible()


async def test_who_signs_out_instead_leaves_nothing(opened: Opened) -> None:
    page = await opened("ada", "admin", "/rules/new")
    await fill(page, Rule_id="left")
    await page.get_by_role("dialog", name="Sign in again").get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", level=1, name="Sign in to Penstock")).to_be_visible()
    assert await page.evaluate("() => sessionStorage.length") == 0


async def go_to_issuer(page: Page) -> dict[str, str]:
    """Sign in again by OpenID Connect, and return what the tab has kept meanwhile."""
    await page.evaluate(NOTE_WHAT_IS_KEPT)
    dialog = page.get_by_role("dialog", name="Sign in again")
    await dialog.get_by_role("button", name=re.compile("Sign in with 127.0.0.1")).click()
    await expect(page.get_by_role("navigation", name="Areas")).to_be_visible()
    await expect(dialog).to_have_count(0)
    kept: dict[str, str] = json.loads(await page.evaluate("() => localStorage.getItem('left')"))
    return kept


async def test_a_sign_in_that_leaves_the_page_brings_back_what_was_typed_once(
    opened: Opened, dashboard: Dashboard
) -> None:
    await create(dashboard, "kept", match={"claims": {"tenant": 2**60 + 1}}, limit=5)
    dashboard.oidc.access_claims = {"aud": "penstock-admin", "penstock_role": "admin"}
    try:
        page = await opened("olga", "admin", "/rules/id/kept/edit")
        await fill(page, Limit="8")
        await page.get_by_role("radio", name="As JSON").check()
        await page.get_by_label("The rule as JSON").press("Control+End")
        await page.keyboard.type(" unfinished")
        typed = await page.get_by_label("The rule as JSON").input_value()
        old = await page.evaluate("() => JSON.parse(sessionStorage.getItem('penstock.session')).token")
        await expect(page.get_by_role("dialog", name="Sign in again")).to_be_visible()
        await dashboard.api("PATCH", "/v1/rules/kept", {"priority": 3})
        kept = await go_to_issuer(page)
        assert set(kept) == {KEPT, "penstock.oidc"}
        assert old not in json.dumps(kept)
        assert page.url == f"{dashboard.url}/rules/id/kept/edit"
        await expect(page.get_by_label("The rule as JSON")).to_have_value(typed)
        await page.get_by_label("The rule as JSON").fill(typed.removesuffix(" unfinished"))
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", name="Somebody else has changed this rule")).to_be_visible()
        await page.get_by_role("button", name="Save the merged rule").click()
        await expect(page.get_by_role("heading", level=1, name="Rule kept", exact=True)).to_be_visible()
        rule = await stored(dashboard, "kept")
        assert (rule["limit"], rule["priority"], rule["match"]["claims"]) == (8, 3, {"tenant": 2**60 + 1})
        await page.goto(f"{dashboard.url}/rules/id/kept/edit")
        await assert_filled(page, Limit="8")
        assert await page.evaluate("() => Object.keys(sessionStorage)") == ["penstock.session"]
    finally:
        dashboard.oidc.access_claims["penstock_role"] = "operator"


async def test_a_dialog_and_its_fields_come_back_from_the_issuer_for_the_same_person_alone(
    opened: Opened, dashboard: Dashboard
) -> None:
    dashboard.oidc.access_claims = {"aud": "penstock-admin", "penstock_role": "operator"}
    page = await opened("olga", "operator", "/dead-letters")
    dialog = page.get_by_role("dialog", name=re.compile("all that match"))
    rate = dialog.get_by_label("At most so many a second:")
    await page.get_by_role("button", name="Replay all that match…").click()
    await rate.fill("17")
    await go_to_issuer(page)
    await expect(rate).to_have_value("17")
    other = await opened("otto", "operator", "/dead-letters")
    await other.get_by_role("button", name="Replay all that match…").click()
    await other.get_by_role("dialog").get_by_label("At most so many a second:").fill("17")
    await go_to_issuer(other)
    await expect(other.get_by_text("olga (operator)")).to_be_visible()
    await expect(other.get_by_role("dialog")).to_have_count(0)
    assert await other.evaluate("() => Object.keys(sessionStorage)") == ["penstock.session"]


async def test_headers_are_kept_nowhere_while_the_browser_is_at_the_issuer(opened: Opened) -> None:
    page = await opened("olga", "operator", "/explain")
    await page.get_by_label("Caller").fill("alice")
    await page.get_by_label("Headers").fill("X-Api-Key: secret-of-alice")
    kept = await go_to_issuer(page)
    assert "alice" in kept[KEPT]
    assert "secret-of-alice" not in json.dumps(kept)
    await expect(page.get_by_label("Caller")).to_have_value("alice")


async def test_what_was_typed_outlives_an_issuer_that_refuses_at_first(opened: Opened, dashboard: Dashboard) -> None:
    dashboard.oidc.access_claims = {"aud": "penstock-admin", "penstock_role": "admin"}
    try:
        page = await opened("olga", "admin", "/rules/new")
        await fill(page, Rule_id="at-last")
        dashboard.oidc.token_answer = (400, b'{"error": "invalid_grant"}')
        by_issuer = page.get_by_role("button", name=re.compile("Sign in with 127.0.0.1"))
        await by_issuer.click()
        await expect(page.get_by_text("The issuer does not accept the code")).to_be_visible()
        dashboard.oidc.token_answer = None
        await by_issuer.click()
        await assert_filled(page, Rule_id="at-last")
    finally:
        dashboard.oidc.token_answer = None
        dashboard.oidc.access_claims["penstock_role"] = "operator"


async def test_who_leaves_a_changed_form_is_asked_first(pages: Pages, dashboard: Dashboard) -> None:
    await create(dashboard, "asked-first")
    page = await pages.page_as("admin", "/rules/id/asked-first")
    await page.get_by_role("link", name="Edit").click()
    await expect(field(page, "Limit")).to_have_value("9")
    question = page.get_by_role("dialog", name="Leave without saving?")
    queues = page.get_by_role("navigation", name="Areas").get_by_role("link", name="Queues")

    async def go_back() -> None:
        await page.evaluate("() => history.back()")

    await field(page, "Limit").fill("4")
    await queues.focus()
    await page.keyboard.press("Enter")
    await expect(question.get_by_role("button", name="Stay on this page")).to_be_focused()
    await pages.assert_accessible(page)
    await page.keyboard.press("Escape")
    await expect(question).to_have_count(0)
    await expect(queues).to_be_focused()
    for leave in (
        page.get_by_role("link", name="Leave it as it is").click,
        page.get_by_role("button", name="Sign out").click,
        go_back,
    ):
        await leave()
        await question.get_by_role("button", name="Stay on this page").click()
        await assert_filled(page, Limit="4")
    await go_back()
    await question.get_by_role("button", name="Leave and lose it").click()
    heading = page.get_by_role("heading", level=1, name="Rule asked-first", exact=True)
    await expect(heading).to_be_focused()
    assert (await stored(dashboard, "asked-first"))["limit"] == 9
    await page.go_forward()
    await assert_filled(page, Limit="9")
    await queues.click()
    await expect(page.get_by_role("heading", level=1, name="Queues")).to_be_visible()


async def test_the_browser_asks_before_a_tab_with_a_changed_form_is_closed(pages: Pages, dashboard: Dashboard) -> None:
    await create(dashboard, "closed")
    page = await pages.page_as("admin", "/rules/id/closed")
    asked: list[str] = []

    async def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.dismiss()

    page.on("dialog", stay)
    await page.get_by_role("button", name="Another limit for a while…").click()
    dialog = page.get_by_role("dialog", name="Another limit for closed")
    await dialog.get_by_label("Requests").fill("3")
    await page.close(run_before_unload=True)
    await expect(dialog.get_by_label("Requests")).to_have_value("3")
    assert asked == ["beforeunload"]
    await dialog.get_by_role("button", name="Apply").click()
    await expect(dialog).to_have_count(0)
    await page.reload()
    await expect(page.get_by_role("heading", level=1, name="Rule closed", exact=True)).to_be_visible()
    assert asked == ["beforeunload"]
