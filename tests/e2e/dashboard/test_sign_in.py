"""Operators sign in to the dashboard by a link, by a token, and at an issuer; the token is in no address."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.support.dashboard import PAGES, Dashboard
from tests.support.pages import NARROW, WIDE, Pages

pytestmark = PAGES


async def assert_signed_in(page: Page, name: str) -> None:
    await expect(page.get_by_role("heading", level=1, name="Sign in to Penstock")).to_have_count(0)
    await expect(page.get_by_role("navigation").first).to_be_visible()
    stored = await page.evaluate("() => JSON.parse(sessionStorage.getItem('penstock.session'))")
    assert stored["name"] == name
    assert stored["token"] not in page.url
    assert await page.evaluate("() => [localStorage.length, document.cookie]") in ([0, ""], [1, ""], [2, ""])
    assert stored["token"] not in await page.evaluate("() => JSON.stringify(localStorage)")


async def test_a_link_signs_in_once(pages: Pages, dashboard: Dashboard) -> None:
    link = (await dashboard.ticket_link("operator", "/audit")).removeprefix(dashboard.url)
    page = await pages.signed_out(link)
    await assert_signed_in(page, "operator")
    assert page.url == f"{dashboard.url}/audit", "the ticket is not in the address any more"
    again = await pages.signed_out(link)
    await expect(again.get_by_role("heading", level=1, name="Sign in to Penstock")).to_be_visible()
    await expect(again.get_by_text("The ticket is not valid")).to_be_visible()


async def test_the_link_of_the_command_leads_to_the_first_page(pages: Pages, dashboard: Dashboard) -> None:
    page = await pages.signed_out((await dashboard.ticket_link("viewer", "/sign-in")).removeprefix(dashboard.url))
    await assert_signed_in(page, "viewer")
    assert page.url == f"{dashboard.url}/"


async def test_a_token_signs_in_and_one_that_is_refused_says_why(pages: Pages, dashboard: Dashboard) -> None:
    page = await pages.signed_out("/rules")
    token, submit = page.get_by_label("Token of the admin API"), page.get_by_role("button", name="with a token")
    await expect(submit).to_be_disabled()
    await token.fill("nonsense")
    await submit.click()
    await expect(page.get_by_text("The token is not valid")).to_be_visible()
    await token.fill(dashboard.token("viewer", "vera"))
    await submit.click()
    await assert_signed_in(page, "vera")
    assert page.url == f"{dashboard.url}/rules", "where the operator wanted to go"
    await page.reload()
    await assert_signed_in(page, "vera")


async def test_the_issuer_signs_in(pages: Pages, dashboard: Dashboard) -> None:
    dashboard.oidc.asked.clear()
    page = await pages.signed_out("/audit")
    await page.get_by_role("button", name=re.compile("Sign in with 127.0.0.1")).click()
    await page.wait_for_url(f"{dashboard.url}/audit")
    await assert_signed_in(page, "olga")
    assert "/token" in dashboard.oidc.asked


async def test_an_issuer_that_refuses_is_explained(pages: Pages, dashboard: Dashboard) -> None:
    dashboard.oidc.token_answer = (400, b'{"error": "invalid_grant"}')
    try:
        page = await pages.signed_out("/")
        await page.get_by_role("button", name=re.compile("Sign in with 127.0.0.1")).click()
        await expect(page.get_by_text("The issuer does not accept the code")).to_be_visible()
    finally:
        dashboard.oidc.token_answer = None


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_signing_in_is_accessible(pages: Pages, size: tuple[int, int]) -> None:
    page = await pages.signed_out("/", size)
    await expect(page.get_by_role("button", name=re.compile("Sign in with 127.0.0.1"))).to_be_visible()
    await pages.assert_accessible(page)
    await pages.screenshot(page, "sign-in")
