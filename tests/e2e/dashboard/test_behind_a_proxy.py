"""The dashboard and the API below a path of nginx, as docs/operations/dashboard.md configures it, in both ways."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.support.dashboard import PAGES, Dashboard
from tests.support.nginx import nginx
from tests.support.pages import Pages
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.waiting import eventually

pytestmark = PAGES

BASE_PATH = "/penstock"
LOCATION = re.compile(r"^location /penstock/ .*$", re.MULTILINE)
WAYS = ["takes it off", "leaves it"]


@pytest_asyncio.fixture(loop_scope="package", scope="module")
async def proxied(
    dashboard: Dashboard, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Dashboard]]:
    """An admin process with a base path, behind nginx as the documentation configures it, in both ways."""
    folder, admin_port = tmp_path_factory.mktemp("nginx"), free_port()
    page = (ROOT / "docs" / "operations" / "dashboard.md").read_text()
    locations = [line.replace("127.0.0.1:8081", f"127.0.0.1:{admin_port}") for line in LOCATION.findall(page)]
    ports = {way: free_port() for way in WAYS}
    assert len(locations) == len(ports)
    servers = [
        f"server {{ listen 127.0.0.1:{port}; {location} }}"
        for port, location in zip(ports.values(), locations, strict=True)
    ]
    system = dashboard.system
    admin = system.spawn("admin", "--port", str(admin_port), PENSTOCK_ADMIN_BASE_PATH=BASE_PATH)
    await system.ready(admin)
    async with nginx("\n".join(servers), folder, "events {}"):
        found = {way: replace(dashboard, port=port, base_path=BASE_PATH) for way, port in ports.items()}
        for one in found.values():
            await eventually(lambda: answers(one), 30, "nginx answers")  # noqa: B023
        yield found
    admin.end()
    system.parts.remove(admin)


async def answers(dashboard: Dashboard) -> bool:
    try:
        async with dashboard.system.http.get(f"{dashboard.url}/v1/sign-in") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


@pytest.fixture(params=WAYS)
def below(request: pytest.FixtureRequest, proxied: dict[str, Dashboard], pages: Pages) -> Dashboard:
    """The dashboard behind one of the two; `pages` opens its pages."""
    pages.dashboard = proxied[request.param]
    return pages.dashboard


async def test_a_link_signs_in_and_pages_open_by_their_addresses(pages: Pages, below: Dashboard) -> None:
    page = await pages.signed_out((await below.ticket_link("viewer", "/sign-in")).removeprefix(below.url))
    await expect(page.get_by_role("navigation").first).to_be_visible()
    assert page.url == f"{below.url}/"
    await page.goto(f"{below.url}/audit")
    await expect(page.get_by_role("heading", level=1, name="Audit")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", level=1, name="Audit")).to_be_visible()
    await page.get_by_role("navigation").first.get_by_role("link", name="Rules").click()
    await expect(page).to_have_url(re.compile(re.escape(f"{below.url}/rules")))
    await expect(page.get_by_role("heading", level=1, name="Rules")).to_be_visible()


async def test_the_issuer_sends_operators_back_below_the_path(pages: Pages, below: Dashboard) -> None:
    page = await pages.signed_out("/audit")
    await page.get_by_role("button", name=re.compile("Sign in with 127.0.0.1")).click()
    await page.wait_for_url(f"{below.url}/audit")
    await expect(page.get_by_role("heading", level=1, name="Audit")).to_be_visible()


async def test_addresses_in_answers_are_right(below: Dashboard) -> None:
    rule = {"rule_id": "proxied", "key_type": "user", "key_value": "proxied", "limit": 1, "window_seconds": 1}
    made = await below.api("POST", "/v1/rules", rule)
    assert (made.status, made.headers["Location"]) == (201, f"{BASE_PATH}/v1/rules/proxied")
    assert (await below.api("DELETE", made.headers["Location"].removeprefix(BASE_PATH))).status == 204
    document = (await below.api("GET", "/openapi.json")).json()
    assert document["servers"] == [{"url": BASE_PATH}]
    async with below.system.http.get(below.url, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, f"{below.url}/"), "nginx adds the slash"


async def test_the_documentation_of_the_api_is_there(pages: Pages, below: Dashboard) -> None:
    page = await pages.signed_out("/docs")
    await expect(page.locator(".opblock-summary-method").first).to_be_visible()
    await expect(page.locator(".servers select")).to_have_value(BASE_PATH)


async def test_commands_reach_it_by_its_url(below: Dashboard, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(below.token("viewer"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", "rules", "list", "--url", below.url, "--token-file", str(token),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert (process.returncode, said) == (0, b"")
