"""Edge, worker, sync and admin as they are composed, on real stores: what operators see of them."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pexpect
import pytest
from prometheus_client import CollectorRegistry

from app.clients import MongoDatabase, mongo_client
from app.main import run_admin, run_edge
from app.process.lifecycle import Process
from app.process.listen import Listen
from app.settings import Settings
from consumers.worker import run_worker
from sync.watcher import run_sync
from tests.support.issuer import Issuer
from tests.support.ports import free_port
from tests.support.raw_app_server import RawServer, listening
from tests.support.sync_steps import document
from tests.support.waiting import eventually

WITHIN_S = 30.0
PENSTOCK = str(Path(sys.executable).parent / "penstock")


class Installation:
    """The four processes, as tasks of this one, and a client of each API."""

    def __init__(self, issuer: Issuer, edge_port: int, admin_port: int, database: MongoDatabase) -> None:
        self.issuer = issuer
        self.edge_url, self.admin_url = f"http://127.0.0.1:{edge_port}", f"http://127.0.0.1:{admin_port}"
        self.rules = database["rules"]
        self.client = httpx.AsyncClient()

    def headers(self, **claims: Any) -> dict[str, str]:  # noqa: ANN401
        token = self.issuer.token("vera", aud="penstock-admin", **{"penstock_role": "admin"} | claims)
        return {"Authorization": f"Bearer {token}"}

    async def status(self) -> dict[str, Any]:
        answer = await self.client.get(f"{self.admin_url}/v1/status", headers=self.headers())
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
async def installation(settings: Settings) -> AsyncIterator[Installation]:
    issuer, edge_port, admin_port = Issuer(), free_port(), free_port()
    mongo = mongo_client(settings.mongodb_url)
    bodies: list[tuple[str, Callable[[Process], Awaitable[None]], Listen | None]] = [
        ("sync", run_sync, None),
        ("edge", run_edge, Listen("127.0.0.1", edge_port)),
        ("admin", run_admin, Listen("127.0.0.1", admin_port)),
        ("worker", run_worker, None),
    ]
    async with AsyncExitStack() as stack:
        app_server_port = await stack.enter_async_context(listening(RawServer()))
        upstreams = Settings(upstreams=(f"http://127.0.0.1:{app_server_port}",)).upstreams
        settings = settings.model_copy(
            update={
                "jwks_url": httpx.URL(issuer.url),
                "jwt_issuer": "test",
                "identity": "off",
                "upstreams": upstreams,
            }
        )
        for role, body, listen in bodies:
            await stack.enter_async_context(process_running(role, body, settings, listen))
        installation = Installation(issuer, edge_port, admin_port, mongo[settings.mongodb_database])
        stack.push_async_callback(installation.client.aclose)
        yield installation
    mongo.close()
    issuer.close()


@asynccontextmanager
async def process_running(
    role: str, body: Callable[[Process], Awaitable[None]], settings: Settings, listen: Listen | None
) -> AsyncIterator[Process]:
    process = Process(role, settings, CollectorRegistry(), listen)
    task = asyncio.ensure_future(body(process))
    await asyncio.wait({task, asyncio.ensure_future(process.ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
    yield process
    process.draining.set()
    process.stop.set()
    await asyncio.wait_for(task, WITHIN_S)


async def test_operators_see_an_installation_as_it_is(installation: Installation) -> None:
    await installation.rules.insert_one({"_id": "r"} | document(1, on_limit="defer", key_type="ip", key_value="*"))

    async def all_is_well() -> bool:
        await installation.client.get(f"{installation.edge_url}/x")
        status = await installation.status()
        known = {process["rules_version"] for process in status["processes"] if process["role"] != "sync"}
        decided = status["rates"]["decisions"]["forward"] > 0 and status["rates"]["decisions"]["defer"] > 0
        return decided and status["problems"] == [] and known == {status["rules"]["version"]}

    await eventually(all_is_well, WITHIN_S, "nothing is wrong, all have the rules, and requests are counted")
    status = await installation.status()
    assert [process["role"] for process in status["processes"]] == ["admin", "edge", "sync", "worker"]
    assert status["rules"]["sync_lag_seconds"] < 10
    assert [(server["breakers"], server["breakers_open"]) for server in status["app_servers"]] == [(2, 0)]
    assert 0 < status["decision_latency"]["p50_seconds"] <= status["decision_latency"]["p99_seconds"]

    async def flow_is_seen() -> bool:
        return bool((await installation.status())["flows"]["total"] == 1)

    await eventually(flow_is_seen, WITHIN_S, "the flow is among those that are looked at every ten seconds")
    assert status["backlog"]["jobs"] > 0

    expires = installation.headers(exp=int(time.time()) + 3)
    url = f"{installation.admin_url}/v1/events"
    async with installation.client.stream("GET", url, headers=expires, timeout=WITHIN_S) as answer:
        lines = [line async for line in answer.aiter_lines() if line.startswith("data: ")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert 1 <= len(events) <= 4, "one a second, until the token expires"
    assert [event["at"] for event in events] == sorted({event["at"] for event in events})

    async with installation.client.stream("GET", url, headers=installation.headers(), timeout=WITHIN_S) as answer:
        await anext(answer.aiter_lines())  # and the client goes
    status = await installation.status()
    assert status["problems"] == []
    await asyncio.to_thread(_watched, installation)


def _watched(installation: Installation) -> None:
    """What a person sees and does in a terminal."""
    token = installation.headers()["Authorization"].removeprefix("Bearer ")
    where = ["--url", installation.admin_url, "--token", token]
    printed, code = pexpect.run(
        " ".join([PENSTOCK, "status", *where]), timeout=WITHIN_S, withexitstatus=True, encoding="utf-8"
    )
    assert code == 0, printed
    for text in ("queue redis", "decisions: forward ", "rules: version "):
        assert text in printed
    terminal = os.environ | {"TERM": "xterm", "COLUMNS": "160", "LINES": "40"}
    top = pexpect.spawn(PENSTOCK, ["top", *where], WITHIN_S, dimensions=(40, 160), encoding="utf-8", env=terminal)
    top.expect("decisions: forward ")
    top.expect("ip:127.0.0.1")
    top.send("p")
    top.expect("r, ip:127.0.0.1: paused")
    top.expect("[^:] paused")  # the state of the flow
    top.send("p")
    top.expect("r, ip:127.0.0.1: resumed")
    for key, whose in (("r", "r, ip:127.0.0.1"), ("R", "r")):
        top.send(f"{key}5/s")
        top.expect("5/s_")
        top.send("\r")
        top.expect(f"{whose}: drains at 5/s")
    top.send("s")
    top.expect("by age")
    top.send("q")
    top.expect(pexpect.EOF)
    top.close()
    assert top.exitstatus == 0
