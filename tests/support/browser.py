"""A page that headless Chromium opens, from an origin of its own; the page tells the test what it finds."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from tests.support.needs import missing

OPTIONS = (
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PAGE = """<!doctype html><title>page</title><script type="module">
const say = (found) => fetch("/said", {method: "POST", body: JSON.stringify(found)});
try { SCRIPT } catch (error) { await say({error: String(error)}); }
</script>"""


@dataclass
class Site:
    """A site that serves one page. `script` is JavaScript, which calls `await say(value)`."""

    port: int = 0
    script: str = ""
    said: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def hears(self) -> Any:  # noqa: ANN401 - JSON
        """The next value that the page says."""
        return await asyncio.wait_for(self.said.get(), 90)

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=PAGE.replace("SCRIPT", self.script), content_type="text/html")

    async def hear(self, request: web.Request) -> web.Response:
        self.said.put_nowait(orjson.loads(await request.read()))
        return web.Response()


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    serving = Site()
    application = web.Application()
    application.add_routes([web.get("/", serving.page), web.post("/said", serving.hear)])
    runner = web.AppRunner(application)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    serving.port = runner.addresses[0][1]
    try:
        yield serving
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened(url: str, folder: Path) -> AsyncIterator[None]:
    """Chromium with this page open. What it writes is in `folder`."""
    command = shutil.which("chromium") or shutil.which("google-chrome")
    if command is None:
        missing("Chromium is not installed (Debian: apt-get install chromium)")
    with (folder / "chromium.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            command, *OPTIONS, f"--user-data-dir={folder / 'profile'}", url,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the browser and its own processes
        await process.wait()
