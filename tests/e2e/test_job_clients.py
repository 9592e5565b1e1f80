"""Clients that do as they are told, on running processes: they follow a job to its answer and wait as asked."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio
from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import HeadersPolicy, RequestIdPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.core.polling import LROPoller
from azure.core.polling.base_polling import LROBasePolling
from azure.core.rest import HttpRequest, HttpResponse

from app.queue.flows import LEAVES_LATE_S
from app.settings import Settings
from tests.support.system import Answer, System, running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("job-clients")]

DEFERS = {"key_type": "user", "limit": 1, "window_seconds": 3600, "on_limit": "defer"}
RACING = DEFERS | {"key_value": "racing", "drain": {"limit": 40, "window_seconds": 1}}
REJECTS = {"key_type": "user", "on_limit": "reject"}
OBEDIENT: dict[str, dict[str, Any]] = {
    "gcra": REJECTS | {"limit": 2, "window_seconds": 2, "burst": 1},
    "gcra-burst": REJECTS | {"limit": 3, "window_seconds": 4},
    "sliding": REJECTS | {"limit": 3, "window_seconds": 2, "algorithm": "sliding_window"},
    "cost": REJECTS | {"limit": 6, "window_seconds": 3, "burst": 4, "cost": 3},
    "sliding-cost": REJECTS | {"limit": 5, "window_seconds": 2, "cost": 2, "algorithm": "sliding_window"},
    "fraction": REJECTS | {"limit": 1, "window_seconds": 1.3},
    "full-shared": DEFERS | {"window_seconds": 1, "queue": {"max_depth": 2}},
    "full-own": DEFERS | {"drain": {"limit": 1, "window_seconds": 1}, "queue": {"max_depth": 2}},
    "full-sliding": DEFERS | {"window_seconds": 1, "algorithm": "sliding_window", "queue": {"max_depth": 2}},
    "doomed": DEFERS | {"window_seconds": 1, "queue": {"max_wait_seconds": 2.5}},
    "two": REJECTS | {"limit": 2, "window_seconds": 1},
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def system(module_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with running(module_settings, tmp_path_factory.mktemp("clients"), PENSTOCK_RETRY_BASE_S="0.1") as system:
        for who, rule in OBEDIENT.items():
            await system.put_rule(who, **rule, key_value=who)
        await system.put_rule(
            "plan", key_type="claim:plan", key_value="two", limit=3, window_seconds=6, burst=1, on_limit="reject"
        )
        drain = {"limit": 1, "window_seconds": 1}
        await system.put_rule("followed", **DEFERS, key_value="followed", drain=drain, queue={"max_attempts": 1})
        await system.put_rule("stopped", **DEFERS, key_value="stopped", paused=True)
        await system.put_rule("racing", **RACING, paused=True)
        for who in ("followed", "stopped", "racing", *OBEDIENT):
            await system.rule_is_known(who, who)
        yield system


async def follow(system: System, who: str, target: str, begun: Callable[[str], None] = lambda _: None) -> HttpResponse:
    """What a client of Azure's makes of a request that was deferred: the final answer, or HttpResponseError."""
    await system.request("POST", "/first", who)

    def run() -> HttpResponse:
        policies = [RequestIdPolicy(), HeadersPolicy(system.auth(who))]
        transport = RequestsTransport(use_env_settings=False)
        with PipelineClient[HttpRequest, HttpResponse](system.url, policies=policies, transport=transport) as client:
            first: Any = client.send_request(
                HttpRequest("POST", system.url + target, content=b"an order"), _return_pipeline_response=True
            )
            assert first.http_response.status_code == 202
            begun(first.http_response.json()["id"])
            poller = LROPoller(client, first, _final, LROBasePolling(timeout=30))
            answer: HttpResponse = poller.result(60)
            return answer

    return await asyncio.to_thread(run)


def _final(response: PipelineResponse[HttpRequest, HttpResponse]) -> HttpResponse:
    return response.http_response


async def test_a_long_running_operation_is_followed_to_the_app_servers_answer(system: System) -> None:
    answer = await follow(system, "followed", "/orders?status=201")
    assert (answer.status_code, answer.headers["X-Echo"]) == (201, "/orders?status=201")
    assert answer.text().startswith("answer ")
    assert answer.headers["Penstock-Job-Status"] == "succeeded"
    assert "/_penstock/jobs/" in answer.request.url
    [arrival] = [one for one in await system.arrivals() if one["target"] == "/orders?status=201"]
    assert (arrival["method"], arrival["body"]) == ("POST", "an order")


async def test_a_long_running_operation_that_fails_is_seen_to(system: System) -> None:
    with pytest.raises(HttpResponseError) as error:
        await follow(system, "followed", "/boom?status=500")
    assert error.value.error is not None
    assert error.value.error.code == "attempts_exhausted"


async def test_a_long_running_operation_that_is_canceled_is_seen_to(system: System) -> None:
    loop = asyncio.get_running_loop()
    started: asyncio.Future[str] = loop.create_future()
    following = asyncio.create_task(
        follow(system, "stopped", "/never", lambda job: loop.call_soon_threadsafe(started.set_result, job))  # type: ignore[arg-type]
    )
    job = await asyncio.wait_for(started, 60)
    assert (await system.request("DELETE", f"/_penstock/jobs/{job}", "stopped")).status == 204
    with pytest.raises(HttpResponseError):
        await following
    assert not [one for one in await system.arrivals() if one["target"] == "/never"]


@pytest.mark.alone
async def test_who_waits_for_exactly_as_long_as_it_is_told_is_served(system: System) -> None:
    """Callers under all kinds of rules at once, each with rules of its own."""
    await asyncio.gather(*(obey(system, who) for who in OBEDIENT))


async def obey(system: System, who: str) -> None:
    """Ask until it is too often, wait as told, and be served; twice."""
    claims = {"plan": "two"} if who == "two" else {}
    headers = {"Authorization": f"Bearer {system.issuer.token(who, **claims)}"}
    served = {200, 202} if OBEDIENT[who]["on_limit"] == "defer" else {200}
    accepted: list[dict[str, Any]] = []

    async def ask() -> Answer:
        answer = await system.request("POST", f"/obedient/{who}", headers=headers)
        if answer.status == 202:
            accepted.append(answer.json())
        return answer

    for _ in range(2):
        for _ in range(50):
            answer = await ask()
            if answer.status == 429:
                break
            assert "Retry-After" in answer.headers or answer.status == 200
        assert answer.status == 429
        again, refused_at_s = answer, time.time()
        while True:
            await asyncio.sleep(int(again.headers["Retry-After"]))
            again = await ask()
            if again.status != 429 or not await ended_late(system, who, accepted, refused_at_s):
                break
            refused_at_s = time.time()
        assert again.status in served, (who, answer.headers["Retry-After"], again)


async def ended_late(system: System, who: str, accepted: list[dict[str, Any]], refused_at_s: float) -> bool:
    """Whether the job that was to make room after a refusal ended later than that refusal reckoned with.

    A worker that a busy machine does not run for a while breaks no promise: what it has not sent takes room.
    """
    for then in accepted:
        job = await system.job(then["id"], who)
        ended_at_s = time.time() if job["finished_at"] is None else unix_s(job["finished_at"])
        if ended_at_s > refused_at_s:
            eta_s = then["eta_seconds"]
            return eta_s is not None and ended_at_s > unix_s(job["submitted_at"]) + eta_s + LEAVES_LATE_S
    return False


def unix_s(written: str) -> float:
    return datetime.fromisoformat(written).timestamp()


async def test_cancel_and_send_exclude_each_other(system: System) -> None:
    """204 and it never arrives, or 409 and it does, while a worker sends as fast as it may."""
    await system.request("POST", "/first", "racing")
    accepted = await asyncio.gather(*(system.request("POST", f"/race/{n}", "racing") for n in range(120)))
    jobs = [answer.json()["id"] for answer in accepted]
    statuses = {}
    await system.put_rule("racing", **RACING)
    await system.ended(jobs[0], "racing")
    for pair in zip(reversed(jobs), jobs, strict=True):  # from both ends, until they meet where the worker is
        for job in pair:
            if job not in statuses:
                statuses[job] = (await system.request("DELETE", f"/_penstock/jobs/{job}", "racing")).status
    assert set(statuses.values()) == {204, 409}

    async def all_ended() -> bool:
        return all([(await system.job(job, "racing"))["finished_at"] for job in jobs])

    await eventually(all_ended, 60, "all ended")
    arrived = {one["job"] for one in await system.arrivals() if one["target"].startswith("/race/")}
    assert arrived == {job for job, status in statuses.items() if status == 409}
