"""The admin API while a store is away, whether dead or only silent: 503 on every route that needs it, and soon."""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import httpx
import pytest

from app.local.stores import cache_store, mongodb_is_ready, queue_store, redis_is_ready, rules_store
from app.settings import Settings
from tests.support.ports import free_port
from tests.support.stores import started
from tests.support.system import System, running
from tests.support.waiting import eventually

SOON_S = 10
"""A few seconds, on a machine that is busy."""

RULE = {"rule_id": "r", "key_type": "user", "key_value": "u", "limit": 5, "window_seconds": 60}
JOB = "0-" + "x" * 22
OPERATION = "0" * 24
NEEDS: dict[str, list[tuple[str, str, object]]] = {
    "mongodb": [
        ("GET", "/v1/rules", None),
        ("POST", "/v1/rules", RULE | {"rule_id": "s"}),
        ("GET", "/v1/rules/r", None),
        ("PUT", "/v1/rules/r", RULE),
        ("PATCH", "/v1/rules/r", {"limit": 6}),
        ("DELETE", "/v1/rules/s", None),
        ("GET", "/v1/rules/r/history", None),
        ("GET", "/v1/audit", None),
        ("GET", "/v1/operations", None),
        ("GET", f"/v1/operations/{OPERATION}", None),
        ("DELETE", f"/v1/operations/{OPERATION}", None),
        ("PUT", "/v1/rules/r/drain", {"limit": 1, "window_seconds": 1}),
        ("DELETE", "/v1/rules/r/drain", None),
        ("POST", "/v1/rules/r/drain/pause", None),
        ("POST", "/v1/rules/r/drain/resume", None),
    ],
    "cache": [("POST", "/v1/explain", {"user": "u"})],
    "queue": [
        ("POST", "/v1/rules/r/drain/purge", None),
        ("GET", "/v1/dead-letters", None),
        ("GET", f"/v1/dead-letters/{JOB}", None),
        ("DELETE", f"/v1/dead-letters/{JOB}", None),
        ("POST", f"/v1/dead-letters/{JOB}/replay", None),
        ("POST", "/v1/dead-letters/replay", {"ids": [JOB]}),
        ("POST", "/v1/operations", {"kind": "delete_dead_letters", "filter": {}, "dry_run": True}),
    ],
}
NEEDS_CACHE_AND_QUEUE = ("POST", "/v1/dead-letters/replay", {"rule_id": "r"})


@dataclass
class Installation:
    """The admin API of a system whose stores are its own."""

    system: System
    url: str
    stores: dict[str, Popen[bytes]]

    async def ask(self, method: str, path: str, body: object) -> httpx.Response:
        token = self.system.issuer.token("ops", aud="penstock-admin", penstock_role="admin")
        async with httpx.AsyncClient(timeout=60) as client:
            headers = {"Authorization": f"Bearer {token}"}
            return await client.request(method, self.url + path, json=body, headers=headers)

    async def all_answer(self) -> bool:
        [explain] = NEEDS["cache"]
        explained = await self.ask(*explain)
        if explained.status_code != 200 or not explained.json()["rules"]:  # r is not known yet
            return False
        answers = [await self.ask(*one) for asked in NEEDS.values() for one in asked if one[0] == "GET"]
        return all(answer.status_code in {200, 404} for answer in answers)


@pytest.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    port = free_port()
    rules = rules_store(tmp_path / "mongodb", port)
    cache, queue = cache_store(tmp_path / "cache", free_port()), queue_store(tmp_path / "queue", free_port())
    with ExitStack() as stack:
        stores = {
            name: stack.enter_context(started(store, tmp_path / f"{name}.log"))
            for name, store in {"mongodb": rules, "cache": cache, "queue": queue}.items()
        }
        await asyncio.gather(mongodb_is_ready(port), redis_is_ready(cache.url), redis_is_ready(queue.url))
        settings = Settings(
            mongodb_url=rules.url,
            mongodb_database=f"test_{uuid.uuid4().hex[:12]}",
            cache_redis_url=cache.url,
            queue_redis_url=queue.url,
        )
        try:
            async with running(settings, tmp_path, edges=0, PENSTOCK_CACHE_TIMEOUT_MS="1000") as system:
                admin_port = free_port()
                await system.ready(system.spawn("admin", "--port", str(admin_port)))
                found = Installation(system, f"http://127.0.0.1:{admin_port}", stores)
                assert (await found.ask("POST", "/v1/rules", RULE)).status_code == 201
                await eventually(found.all_answer, 30, "all is well")
                yield found
        finally:
            for store in stores.values():
                if store.poll() is None:
                    store.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("store", NEEDS)
async def test_a_silent_store_is_503_and_soon_and_then_all_is_well(installation: Installation, store: str) -> None:
    installation.stores[store].send_signal(signal.SIGSTOP)
    await _all_refused(installation, store)
    installation.stores[store].send_signal(signal.SIGCONT)
    await eventually(installation.all_answer, 60, "all is well again")


@pytest.mark.parametrize("store", NEEDS)
async def test_a_dead_store_is_503_and_soon(installation: Installation, store: str) -> None:
    installation.stores[store].kill()
    installation.stores[store].wait()
    await _all_refused(installation, store)


async def _all_refused(installation: Installation, store: str) -> None:
    if store != "mongodb":
        _require_refusal(NEEDS_CACHE_AND_QUEUE, *await _timed(installation, *NEEDS_CACHE_AND_QUEUE))
    for name, asked in NEEDS.items():
        answers = await asyncio.gather(*(_timed(installation, *one) for one in asked))
        for one, (answer, took_s) in zip(asked, answers, strict=True):
            if name != store:
                assert answer.status_code < 500, (one, answer.text)
            else:
                _require_refusal(one, answer, took_s)


def _require_refusal(one: object, answer: httpx.Response, took_s: float) -> None:
    assert answer.status_code == 503, (one, answer.text)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "1"
    assert took_s < SOON_S, (one, took_s)


async def _timed(installation: Installation, method: str, path: str, body: object) -> tuple[httpx.Response, float]:
    start = time.monotonic()
    answer = await installation.ask(method, path, body)
    return answer, time.monotonic() - start
