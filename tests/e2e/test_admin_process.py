"""`penstock admin` listens on loopback, unless it is told otherwise."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from app.settings import Settings
from tests.support.ports import free_port
from tests.support.system import System, running

ANOTHER_ADDRESS = "127.0.0.2"
"""Of this machine, and not the one that is bound by default: reached only where all addresses are."""


@pytest.fixture
async def system(settings: Settings, tmp_path: Path) -> AsyncIterator[System]:
    async with running(settings, tmp_path, syncs=0, edges=0, workers=0) as system:
        yield system


async def answers(address: str, port: int) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(f"http://{address}:{port}/openapi.json") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def test_the_admin_api_is_reached_from_elsewhere_only_when_told_so(system: System) -> None:
    by_default, told = free_port(), free_port()
    parts = [
        system.spawn("admin", "--port", str(by_default)),
        system.spawn("admin", "--host", "0.0.0.0", "--port", str(told)),
    ]
    await system.ready(*parts)
    reached = await asyncio.gather(
        *(answers(address, port) for port in (by_default, told) for address in ("127.0.0.1", ANOTHER_ADDRESS))
    )
    assert list(reached) == [True, False, True, True]
