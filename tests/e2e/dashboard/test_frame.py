"""What surrounds every page: how much a first visit loads, and what is said while the admin process is away."""

import re
from urllib.parse import urlsplit

from playwright.async_api import Page, Response, expect

from tests.support.dashboard import PAGES, Dashboard
from tests.support.pages import Pages

pytestmark = PAGES

NOTHING = "/docs/favicon-32x32.png"
"""An address of the same origin that loads nothing of the dashboard."""

MOST_BYTES = 200_000
"""What a first visit may load of the dashboard, compressed; answers of the API aside."""


async def loaded(page: Page, address: str) -> dict[str, int]:
    """The files of the dashboard that a visit loads, and their bytes as they were sent."""
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - Playwright marks what it is given
    await page.goto(address)
    await expect(page.get_by_role("region", name="Updates").get_by_text("Live", exact=True)).to_be_visible()
    files = [answer for answer in answers if "/v1/" not in answer.url]
    assert {answer.headers.get("content-encoding") for answer in files} <= {"br", None}
    return {urlsplit(answer.url).path: int(answer.headers["content-length"]) for answer in files}


async def test_a_first_visit_loads_little_and_the_next_one_nothing_but_the_page(
    pages: Pages, dashboard: Dashboard
) -> None:
    page = await pages.page_as("viewer", NOTHING)
    first = await loaded(page, f"{dashboard.url}/")
    assert any(path.endswith(".js") for path in first), first
    assert sum(first.values()) < MOST_BYTES, first
    await page.goto(dashboard.url + NOTHING)
    from_network = []
    page.on("requestfinished", lambda request: from_network.append(request))  # noqa: PLW0108 - as above
    await page.goto(f"{dashboard.url}/audit")
    await expect(page.get_by_role("heading", level=1, name="Audit")).to_be_visible()
    sizes = {urlsplit(one.url).path: (await one.sizes())["responseBodySize"] for one in from_network}
    assert [path for path, size in sizes.items() if path.startswith("/assets/") and size > 0] == []


async def test_the_admin_process_goes_and_comes_back(pages: Pages, dashboard: Dashboard) -> None:
    page = await pages.page_as("viewer", "/audit")
    updates = page.get_by_role("region", name="Updates")
    await expect(updates.get_by_text("Live", exact=True)).to_be_visible()
    dashboard.stop_admin()
    try:
        await expect(updates.get_by_text(re.compile("Disconnected, stale since"))).to_be_visible()
        await expect(page.get_by_role("heading", level=1, name="Audit")).to_be_visible()
    finally:
        await dashboard.start_admin()
    await expect(updates.get_by_text("Live", exact=True)).to_be_visible(timeout=60_000)
    await expect(updates.get_by_text(re.compile("Disconnected"))).to_have_count(0)
