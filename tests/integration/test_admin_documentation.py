"""`/docs`: everything that the page loads comes from the admin API itself, and a browser shows the routes."""

import asyncio
import re
import shutil
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
import uvicorn

from tests.support.admin_in_process import Admin
from tests.support.needs import missing
from tests.support.ports import free_port
from tests.support.waiting import eventually

ORIGIN = "http://admin"
REFERENCES = re.compile(r"""(?:src|href|action)\s*=\s*["']?([^"'\s>]+)""")
IN_STYLES = re.compile(r"""(?:url\(\s*["']?|@import\s+["']?)([^"')\s]+)""")
IN_SCRIPTS = re.compile(r"""[uU]rl:\s*"([^"]+)\"""")


async def found_by_a_browser(client: httpx.AsyncClient) -> dict[str, httpx.Response]:
    """The page and whatever it and its parts refer to."""
    found = {f"{ORIGIN}/docs": await client.get("/docs")}
    page = found[f"{ORIGIN}/docs"].text
    references = {urljoin(f"{ORIGIN}/docs", reference) for reference in REFERENCES.findall(page)}
    for reference in sorted(references):
        found[reference] = await client.get(reference)
    for reference, answer in list(found.items()):
        if reference.endswith(".css"):
            references |= {urljoin(reference, one) for one in IN_STYLES.findall(answer.text)}
        if reference.endswith("start.js"):  # addresses in it are relative to the page
            references |= {urljoin(f"{ORIGIN}/docs", one) for one in IN_SCRIPTS.findall(answer.text)}
    for reference in sorted(references - found.keys()):
        if not reference.startswith("data:"):
            found[reference] = await client.get(reference)
    return found


async def test_the_page_and_all_its_parts_come_from_here_under_a_strict_policy(admin: Admin) -> None:
    found = await found_by_a_browser(admin.client)
    assert {name.removeprefix(ORIGIN) for name in found} == {
        "/docs",
        "/docs/favicon-32x32.png",
        "/docs/swagger-ui.css",
        "/docs/swagger-ui-bundle.js",
        "/docs/start.js",
        "/openapi.json",
    }
    assert {answer.status_code for answer in found.values()} == {200}
    page = found[f"{ORIGIN}/docs"]
    assert "//" not in page.text, "no other origin is named"
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", page.text), "nothing is inline"
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert {source for sources in policy.values() for source in sources.split()} == {"'none'", "'self'", "data:"}
    assert "validatorUrl: null" in found[f"{ORIGIN}/docs/start.js"].text, "or the page would ask a service"


@pytest.mark.parametrize("path", ["/docs/", "/docs/__init__.py", "/docs/..%2fmain.py", "/docs/swagger-ui.css/x"])
async def test_nothing_else_is_served_from_the_package(admin: Admin, path: str) -> None:
    answer = await admin.client.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


async def test_a_browser_shows_the_routes_and_reports_no_violation(admin: Admin, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("chromium is not installed (Debian: apt-get install chromium)")
    port = free_port()
    app = admin.client._transport.app  # type: ignore[attr-defined]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))

    async def is_started() -> bool:
        return server.started

    serving = asyncio.create_task(server.serve())
    await eventually(is_started, 30, "the server listens")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--enable-logging=stderr"]
    # Names other than the server's address resolve to nothing, so the page works without the internet or not at all.
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=20000", "--dump-dom"]
    browser = await asyncio.create_subprocess_exec(
        chromium,
        *options,
        *offline,
        f"http://127.0.0.1:{port}/docs",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        document, said = await asyncio.wait_for(browser.communicate(), 90)
    finally:
        if browser.returncode is None:
            browser.kill()
        server.should_exit = True
        await serving
    console = [line for line in said.decode(errors="replace").splitlines() if "CONSOLE" in line]
    assert console == []
    assert b"/v1/dead-letters" in document
    assert document.count(b"opblock-summary-method") >= 18
