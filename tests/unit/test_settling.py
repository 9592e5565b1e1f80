"""Outcomes are stored even if storing earlier ones failed, and a job is in flight until its outcome is stored."""

import asyncio
from time import monotonic
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from tenacity import wait_fixed

from app.clients import counter_scripts
from app.errors import QueueUnavailable, UpstreamCut
from app.identity.identity_token import IdentityTokens
from app.jobs.model import JobStatus, StoredRequest
from app.limiter.corrections import Corrections
from app.queue.flows import Flows
from app.queue.model import LeasedJob, Settlement
from app.settings import Settings
from app.upstream.upstream import Upstream
from consumers.answer_breaker import AnswerBreaker
from consumers.delivery import Delivery
from consumers.metrics import WorkerMetrics
from consumers.send_gate import SendGate
from consumers.settling import Settling
from tests.support.waiting import eventually

LEASE_S = 0.1
REFUSED_BEFORE_A_PAUSE = 2
"""An outcome is stored at once, and again by what pauses between its attempts."""

pytestmark = pytest.mark.plain  # compiled code accepts no substitute for Flows


def leased(job_id: str, lease: str = "lease") -> LeasedJob:
    return LeasedJob(job_id, "flow", lease, 1, 5, StoredRequest("GET", b"/", [], b""))


class Failing:
    """Flows whose next calls raise these errors, one after the other."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    async def settle(self, settlements: list[Settlement]) -> list[bool]:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        return [True] * len(settlements)


@pytest.mark.parametrize("failure", [QueueUnavailable("away"), RuntimeError("the script failed")])
async def test_a_batch_that_fails_does_not_block_the_next(failure: Exception) -> None:
    settling = Settling(cast(Flows, Failing(failure)))
    with pytest.raises(type(failure)):
        await asyncio.wait_for(settling.settle(Settlement(leased("0-a"), JobStatus.SUCCEEDED)), 5)
    assert await asyncio.wait_for(settling.settle(Settlement(leased("0-b"), JobStatus.SUCCEEDED)), 5)


class Holding:
    """Flows that store a retry only when they are told to."""

    def __init__(self) -> None:
        self.may_store: dict[str, asyncio.Event] = {}
        self.both = asyncio.Event()

    async def retry(self, job: LeasedJob, *_: Any, **__: Any) -> bool:  # noqa: ANN401
        allowed = self.may_store[job.lease] = asyncio.Event()
        if len(self.may_store) == 2:
            self.both.set()
        await allowed.wait()
        return False


class Away:
    """Flows that are away until they are told to be back."""

    def __init__(self) -> None:
        self.is_away = True
        self.stored: list[str] = []
        self.refused = 0

    async def retry(self, _: LeasedJob, __: float, code: str, *___: Any, **____: Any) -> bool:  # noqa: ANN401
        if self.is_away:
            self.refused += 1
            raise QueueUnavailable("away")
        self.stored.append(code)
        return True


def delivery_to(flows: object) -> Delivery:
    upstream, metrics = Upstream([]), WorkerMetrics(CollectorRegistry())
    gate = SendGate(upstream, AnswerBreaker())
    corrections = Corrections(counter_scripts(Settings(), 1000), metrics.corrections_dropped)
    settings = Settings(lease_s=LEASE_S)
    return Delivery(cast(Flows, flows), upstream, gate, IdentityTokens(None), settings, metrics, corrections)


async def test_an_outcome_is_kept_for_longer_than_a_lease_until_the_queue_is_back() -> None:
    flows = Away()
    delivery = delivery_to(flows)
    job = leased("0-a")
    attempt = asyncio.create_task(delivery.attempt(job, UpstreamCut("cut"), lambda: None))
    await eventually(lambda: flows.refused, 30, "the outcome could not be stored")
    since_s = monotonic()
    await eventually(lambda: flows.refused > 3 and monotonic() - since_s > 5 * LEASE_S, 30, "five leases have passed")
    assert list(delivery.in_flight) == [job]
    flows.is_away = False
    await asyncio.wait_for(attempt, 20)
    assert flows.stored == ["upstream_cut"]
    assert list(delivery.in_flight) == []


async def test_a_worker_that_stops_while_the_queue_is_away_tries_to_store_what_it_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("consumers.delivery.wait_random_exponential", lambda **_: wait_fixed(3600))
    flows = Away()
    attempt = asyncio.create_task(delivery_to(flows).attempt(leased("0-a"), UpstreamCut("cut"), lambda: None))
    await eventually(lambda: flows.refused == REFUSED_BEFORE_A_PAUSE, 30, "it pauses until it tries again")
    flows.is_away = False
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert flows.stored == ["upstream_cut"], "not that the worker was stopped before it knew"


async def test_a_job_that_is_leased_again_while_its_first_outcome_is_stored_keeps_its_new_lease() -> None:
    flows = Holding()
    delivery = delivery_to(flows)

    async def attempt(lease: str) -> None:
        await delivery.attempt(leased("0-a", lease), UpstreamCut("cut"), lambda: None)

    first, second = asyncio.create_task(attempt("first")), asyncio.create_task(attempt("second"))
    async with asyncio.timeout(5):
        await flows.both.wait()
    flows.may_store["first"].set()
    await first
    assert [job.lease for job in delivery.in_flight] == ["second"]
    flows.may_store["second"].set()
    await second
    assert list(delivery.in_flight) == []
