"""Builds the dashboard beside the running system of `penstock up`, and says where it is."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import httpx

from app.errors import StartupError, Unavailable
from app.local.dashboard_build import is_current
from app.local.development_key import DevelopmentKey, token_claims, user_name
from app.local.log_files import last_line
from app.local.sign_in_link import SESSION, link_of
from app.settings import Settings

LOG_FILE = "dashboard.log"
END_TIMEOUT_S = 5.0
NICENESS = 10
"""The build yields to the system that it runs beside."""

Link = Callable[[], Awaitable[str]]
Say = Callable[[str], None]


async def offer_dashboard(log: Path, url: str, link: Link, say: Say) -> None:
    """Build the dashboard if its sources have changed, then say where it is. A failure stops nothing else."""
    if not await asyncio.to_thread(is_current):
        say(f"building the dashboard, which takes a minute or two the first time; {url} says how far it is")
        if await _build(log) != 0:
            say(f"the dashboard was not built: {last_line(log)}")
            return
    try:
        say(f"the dashboard: {await link()}   (signs in once, within a minute; `penstock dashboard` prints another)")
    except (Unavailable, StartupError):
        say(f"the dashboard: {url}")


async def sign_in_link(settings: Settings, url: str) -> str:
    """Return a link that signs in to the dashboard at `url` once, with a token of the development issuer.

    Raises StartupError without the issuer's key, and Unavailable if the admin process makes no ticket.
    """
    claims = token_claims(settings, f"dashboard:{user_name()}", {}, SESSION, "admin")
    token = DevelopmentKey.load(settings.data_dir).sign(claims)
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{url}/v1/sign-in/tickets", headers={"Authorization": f"Bearer {token}"})
            answer.raise_for_status()
            return link_of(url, answer.json()["ticket"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise Unavailable(f"the admin process made no ticket: {error}") from error


async def _build(log: Path) -> int:
    """Run the build and return its exit code. It ends with this process, and when this is cancelled."""
    tether = (sys.executable, "-m", "app.local.tether", str(os.getpid()))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *tether, sys.executable, "-m", "app.local.dashboard_build", str(log),
            stdout=output, stderr=output, start_new_session=True, preexec_fn=_yield_to_others,
        )  # fmt: skip
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), END_TIMEOUT_S)


def _yield_to_others() -> None:
    os.nice(NICENESS)
