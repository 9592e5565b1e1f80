"""`kill -9` of an edge between a request and its answer: only this request's correction is lost."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from app.settings import Settings
from tests.support.system import System, running
from tests.support.waiting import eventually

RULE: dict[str, Any] = {"key_type": "user", "key_value": "*", "limit": 1000, "window_seconds": 86_400}
RULE |= {"cost": {"response_header": "X-Tokens-Used", "default": 100}}


async def remaining(system: System) -> int:
    limits = (await system.request("GET", "/_penstock/limits", "u")).json()["limits"]
    return int(limits[0]["remaining"])


async def is_left(system: System, units: int) -> None:
    async def so_much() -> bool:
        return await remaining(system) == units

    await eventually(so_much, 30, f"{units} units are left")


async def test_a_killed_edge_leaves_what_was_charged_and_later_answers_correct(
    settings: Settings, tmp_path: Path
) -> None:
    async with running(settings, tmp_path, workers=0) as system:
        await system.put_rule("tokens", **RULE)
        await system.rule_is_known("tokens", "u")
        assert (await system.request("POST", "/first?used=10", "u")).status == 200
        await is_left(system, 990)
        cut = asyncio.create_task(system.request("POST", "/cut?used=10&hold=for_good", "u"))
        await system.arrived(2)
        assert await remaining(system) == 890
        [edge] = [part for part in system.parts if part.role == "edge"]
        edge.kill(signal.SIGKILL)
        edge.process.wait()
        with suppress(aiohttp.ClientError):
            await cut
        await system.ready(system.edge())
        await system.rule_is_known("tokens", "u")
        assert await remaining(system) == 890, "the estimate stands, and no more than that"
        assert (await system.request("POST", "/after?used=10", "u")).status == 200
        await is_left(system, 880)
