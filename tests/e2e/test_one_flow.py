"""Operators see, pause, speed up and purge one flow of a running system, and no other is touched."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.queue.flow_name import flow_id
from app.settings import Settings
from tests.support.ports import free_port
from tests.support.system import System, running
from tests.support.waiting import eventually

RULE: dict[str, Any] = {
    "key_type": "user",
    "key_value": "*",
    "limit": 1,
    "window_seconds": 36_000,
    "on_limit": "defer",
    "drain": {"limit": 1, "window_seconds": 36_000},
    "queue": {"max_wait_seconds": 1_000_000},
}


class Operated:
    """A system with an admin process, and an operator of it."""

    def __init__(self, system: System, port: int) -> None:
        self.system = system
        self._url = f"http://127.0.0.1:{port}/v1"

    async def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        token = self.system.issuer.token("ops", aud="penstock-admin", penstock_role="operator")
        headers = {"Authorization": f"Bearer {token}"}
        async with self.system.http.request(method, self._url + path, json=body, headers=headers) as answer:
            found = await answer.json()
            assert answer.status == 200, found
        return found

    async def flow(self, user: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.call("GET", f"/flows/{flow_id(f'r|user:{user}')}")
        return found


@pytest.fixture
async def operated(settings: Settings, tmp_path: Path) -> AsyncIterator[Operated]:
    async with running(settings, tmp_path, edges=1, workers=1) as system:
        port = free_port()
        await system.ready(system.spawn("admin", "--port", str(port)))
        await system.put_rule("r", **RULE)
        await system.rule_is_known("r", "u")
        yield Operated(system, port)


async def defer(system: System, user: str, count: int) -> list[str]:
    """Defer so many requests after one that spends the limit, and that waits too once it is spent."""
    await system.request("GET", "/-/spends-the-limit", user)
    answers = [await system.request("GET", f"/{user}", user) for _ in range(count)]
    assert [answer.status for answer in answers] == [202] * count
    return [str(answer.json()["id"]) for answer in answers]


async def test_one_flow_is_seen_paused_quickened_and_purged(operated: Operated) -> None:
    system, path = operated.system, f"/flows/{flow_id('r|user:u')}"
    mine, others = await defer(system, "u", 4), await defer(system, "v", 3)
    await system.ended(mine[0], "u")  # the first of each flow is sent at once, and the next in ten hours
    await system.ended(others[0], "v")

    listed = (await operated.call("GET", "/flows?sort=depth"))["flows"]
    assert [(flow["caller"], flow["depth"], flow["state"]) for flow in listed] == [
        ("user:u", 3, "draining"),
        ("user:v", 2, "draining"),
    ]

    await operated.call("POST", f"{path}/pause")
    await operated.call("PUT", f"{path}/rate", {"limit": 1000, "window_seconds": 1})
    mine += await defer(system, "u", 1)

    async def parked() -> bool:
        return (await system.job(mine[1], "u"))["eta_seconds"] is None

    await eventually(parked, 30, "the worker knows that the flow is paused")
    assert (await operated.flow("u"))["state"] == "paused"
    [worker] = [part for part in system.parts if part.role == "worker"]
    worker.kill()
    await system.ready(system.worker())
    await eventually(parked, 30, "it is paused also for a worker that has just started")
    assert (await operated.flow("u"))["waiting"] == 5, "its rate is set, and nothing of it is sent"

    await operated.call("POST", f"{path}/resume")
    for job_id in mine:
        assert (await system.ended(job_id, "u"))["status"] == "succeeded", "at its new rate, not in ten hours"
    assert (await operated.flow("v"))["waiting"] == 2

    purged = await operated.call("POST", f"/flows/{flow_id('r|user:v')}/purge")
    assert purged == {"canceled": 2, "next": None}
    assert (await system.job(others[2], "v"))["status"] == "canceled"
