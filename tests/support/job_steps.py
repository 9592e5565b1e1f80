"""What a client does with jobs, at an edge in the test's process; the worker's steps are the test's to take."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from app.jobs.model import JobStatus, StoredResponse
from app.queue.flows import Flows
from app.queue.model import LeasedJob, Settlement
from app.settings import Settings
from tests.support.edge_in_process import Edge, Said, edge_running, in_force, said
from tests.support.flow_steps import give_back, lease, take

JOBS = "/_penstock/jobs"
DEFERS = {"key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 3600, "on_limit": "defer"}
DRAIN = {"limit": 1000, "window_seconds": 1}


async def ask(edge: Edge, method: str, target: str, *headers: str, body: bytes = b"") -> Said:
    return said(await ask_raw(edge, method, target, *headers, body=body))


async def ask_raw(edge: Edge, method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    framing = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{method} {target} HTTP/1.1", "Host: edge.test", "Connection: close", *framing, *headers, "", ""]
    return await edge.raw("\r\n".join(lines).encode() + body)


def edge_for_jobs(settings: Settings, cache: Redis, **changed: Any) -> AbstractAsyncContextManager[Edge]:  # noqa: ANN401
    """An edge that can be asked for jobs as often as a test likes."""
    return edge_running(settings, cache, **({"poll_limit_per_s": 100_000.0} | changed))


@dataclass(frozen=True)
class Client:
    """One caller, by its Authorization header; none for the anonymous."""

    edge: Edge
    who: tuple[str, ...] = ()

    async def ask(self, method: str, target: str, *headers: str, body: bytes = b"") -> Said:
        return await ask(self.edge, method, target, *self.who, *headers, body=body)

    async def defer(self, target: str = "/x", *headers: str, body: bytes = b"") -> dict[str, Any]:
        """A job, once the live request is spent."""
        answer = await self.ask("POST", target, *headers, body=body)
        if answer.status == 200:
            answer = await self.ask("POST", target, *headers, body=body)
        assert answer.status == 202, answer
        job: dict[str, Any] = answer.json()
        return job

    async def job(self, job_id: str) -> dict[str, Any]:
        answer = await self.ask("GET", f"{JOBS}/{job_id}")
        assert answer.status == 200, answer
        job: dict[str, Any] = answer.json()
        return job


async def client(edge: Edge, subject: str | None, **rule: Any) -> Client:  # noqa: ANN401
    """A caller for whom a deferring rule is in force."""
    who = (edge.bearer(subject),) if subject is not None else ()
    rule = DEFERS | ({"key_type": "ip"} if subject is None else {}) | rule
    await edge.rule(f"rule-{rule['key_type']}", **rule)
    await in_force(edge, f"rule-{rule['key_type']}", *who)
    return Client(edge, who)


async def leased(flows: Flows, n: int = 1) -> list[LeasedJob]:
    """The next jobs, as a worker about to send them has them."""
    jobs: list[LeasedJob] = []
    for flow in await take(flows):
        jobs += (await lease(flows, flow, n)).jobs
        await give_back(flows, flow)
    return jobs


async def answered(flows: Flows, job: LeasedJob, response: StoredResponse | None = None) -> None:
    """The app server's answer to a job."""
    response = response or StoredResponse(200, [], b"answer")
    assert await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=response)]) == [True]
