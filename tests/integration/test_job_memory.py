"""How much memory of the queue Redis a waiting job takes."""

import asyncio

import pytest
from redis.asyncio import Redis

from app.jobs.model import StoredRequest
from app.queue.flows import Flows
from tests.benchmarks import queue_steps

MOST_BYTES = 1_200
JOBS = 2_000
HEADERS = [(b"content-type", b"application/json"), (b"user-agent", b"a-client/1.0"), (b"x-forwarded-for", b"10.0.0.1")]


@pytest.mark.usefixtures("steady_memory")
@pytest.mark.parametrize("count", [1, 20, 200], ids=lambda count: f"{count} flows")
async def test_a_waiting_job_with_a_body_of_400_bytes_takes_little_memory(
    flows: Flows, queue: Redis, count: int
) -> None:
    """It is charged to a user and an address and has an owner. A flow with one job takes a further kilobyte."""
    rule, request = queue_steps.user_rule(), StoredRequest("POST", b"/work?item=1", HEADERS, b"x" * 400)
    await flows.enqueue(queue_steps.deferral(0, count, rule, request))
    before = (await queue.info("memory"))["used_memory"]
    await asyncio.gather(*(flows.enqueue(queue_steps.deferral(i, count, rule, request)) for i in range(1, JOBS + 1)))
    after = (await queue.info("memory"))["used_memory"]
    assert (after - before) / JOBS < MOST_BYTES
