"""Pages of the dashboard in headless Chromium: what they must never do is noted, and fails the test."""

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, async_playwright

from tests.support.dashboard import Dashboard
from tests.support.needs import missing
from tests.support.processes import ROOT

AXE = ROOT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
IMAGES = ROOT / "docs" / "images"
TIMEOUT_MS = 20_000
"""How long a page may take for what is expected of it, on two cores that other tests share."""

WIDE, NARROW = (1440, 900), (400, 800)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
OPTIONS = (
    "--disable-dev-shm-usage",
    "--disable-gpu",
    # Other names than this machine's address resolve to nothing: a page works without the internet or not at all.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
ABOUT_API = re.compile(r"Failed to load resource: .*(status of [45]\d\d|net::ERR_(CONNECTION|INCOMPLETE|EMPTY)_)")
AXE_RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations.map(({ id, help, nodes }) => ({ id, help, at: nodes.map(({ target }) => target.join(" ")) }));
}"""
TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  return document.documentElement.scrollWidth <= width ? [] : [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > width + 1)
    .map((one) => `${one.tagName.toLowerCase()}.${one.className}`);
}"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium, which tests share."""
    command = shutil.which("chromium") or shutil.which("google-chrome")
    if command is None:
        missing("Chromium is not installed (Debian: apt-get install chromium)")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=command, args=[*OPTIONS, *sandbox])
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Pages:
    """Opens pages for one test, and notes the errors, violations and foreign requests of all of them."""

    dashboard: Dashboard
    browser: Browser
    screenshots: bool = False
    troubles: list[str] = field(default_factory=list)
    _contexts: list[BrowserContext] = field(default_factory=list)

    async def signed_out(self, path: str = "/", size: tuple[int, int] = WIDE, **options: Any) -> Page:  # noqa: ANN401
        """A page of a browser in which nobody is signed in. Options go to Playwright's `new_context`."""
        page = await self._page(size, options)
        await page.goto(self.dashboard.url + path)
        return page

    async def page_as(
        self,
        role: str,
        path: str = "/",
        size: tuple[int, int] = WIDE,
        **options: Any,  # noqa: ANN401
    ) -> Page:
        """A page of an operator with this role."""
        page = await self._page(size, options)
        session = self.dashboard.session(role)
        await page.add_init_script(f"sessionStorage.setItem('penstock.session', {session!r})")
        await page.goto(self.dashboard.url + path)
        return page

    async def assert_accessible(self, page: Page) -> None:
        """No violation is found by axe, in light and in dark, and nothing sticks out of the page."""
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            await _install_axe(page)
            violations, too_wide = await page.evaluate(AXE_RUN), await page.evaluate(TOO_WIDE)
            assert not violations, f"{scheme}: {violations}"
            assert not too_wide, f"{scheme}: {too_wide}"

    async def screenshot(self, page: Page, name: str) -> None:
        """Write docs/images/NAME-WIDTH-SCHEME.png, wide and narrow, light and dark, with `--screenshots` only."""
        if not self.screenshots:
            return
        before = page.viewport_size
        IMAGES.mkdir(exist_ok=True)
        for width, height in (WIDE, NARROW):
            await page.set_viewport_size({"width": width, "height": height})
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme)
                await page.screenshot(path=IMAGES / f"{name}-{width}-{scheme}.png", animations="disabled")
        if before is not None:
            await page.set_viewport_size(before)

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()

    async def _page(self, size: tuple[int, int], options: dict[str, Any]) -> Page:
        defaults: dict[str, Any] = {
            "viewport": {"width": size[0], "height": size[1]},
            "locale": "en-GB",
            "timezone_id": "Europe/Berlin",
            "reduced_motion": "reduce",
        }
        context = await self.browser.new_context(**defaults | options)
        self._contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        page = await context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.troubles.append(f"error in the page: {error}"))
        page.on("request", self._see)
        page.on("response", self._judge)
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        """Note errors and warnings. That the API refused something is for the test to judge."""
        about_api = ABOUT_API.match(message.text) and "/v1/" in message.location.get("url", "")
        if message.type in {"error", "warning"} and not about_api:
            self.troubles.append(f"{message.type} on the console: {message.text} ({message.location.get('url')})")

    def _see(self, request: Request) -> None:
        own = (self.dashboard.url + "/", self.dashboard.oidc.url + "/", "data:", "blob:")
        if not request.url.startswith(own):
            self.troubles.append(f"a request of another origin: {request.url}")

    def _judge(self, response: Response) -> None:
        if response.status >= 500 and response.status != 503:
            self.troubles.append(f"{response.url} was answered {response.status}")


async def _install_axe(page: Page) -> None:
    """Define `axe` in the page. By the debugger's protocol, for the page's policy allows no script of ours."""
    if not AXE.exists():
        missing("axe-core is not installed: run scripts/dashboard")
    if await page.evaluate("() => typeof axe === 'object'"):
        return
    debugger = await page.context.new_cdp_session(page)
    await debugger.send("Runtime.evaluate", {"expression": AXE.read_text()})
    await debugger.detach()


def image(name: str) -> Path:
    """Where a screenshot is."""
    return IMAGES / name
