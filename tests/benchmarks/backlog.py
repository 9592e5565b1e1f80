"""A backlog of jobs that the edge defers and a worker drains."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from redis.asyncio import Redis

from app.queue import keys
from tests.benchmarks import stores
from tests.benchmarks.errors import require
from tests.benchmarks.nginx import AppServer
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import cpu_s
from tests.benchmarks.running import BODY, NEVER_THE_BOUND, deferring, put_user_rule, spend_the_first
from tests.benchmarks.samples import Sample
from tests.support.system import System

AT_ONCE = 64
DRAINED_WITHIN_S = 300.0


@dataclass
class Backlog:
    """Fills and drains backlogs. Each has a rule of its own, and nothing is sent until that rule is resumed."""

    system: System
    queue: Redis
    app_server: AppServer
    worker_pid: int
    rules: int = 0

    async def drain(self, plan: Plan, users: Sequence[str]) -> Sample:
        """Drain `plan.jobs` jobs of these users, measured from the first arrival until the last outcome is stored."""
        rule_id = await self.paused_rule(NEVER_THE_BOUND)
        ids = await self.fill(rule_id, plan.jobs, users)
        hits, cpu = await self.app_server.hits(self.system.http), cpu_s(self.worker_pid)
        await self.resume(rule_id, NEVER_THE_BOUND)
        while await self.app_server.hits(self.system.http) == hits:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.002)
        start = time.perf_counter()
        while await stores.jobs_waiting(self.queue):
            require(time.perf_counter() - start < DRAINED_WITHIN_S, f"{rule_id}: not drained in {DRAINED_WITHIN_S} s")
            await asyncio.sleep(0.01)
        seconds, cpu = time.perf_counter() - start, cpu_s(self.worker_pid) - cpu
        await self.require_succeeded(ids)
        hits = await self.app_server.hits(self.system.http) - hits
        require(hits == plan.jobs, f"{plan.jobs} jobs, but {hits} requests at the app server")
        return Sample(plan.jobs / seconds, cpu / plan.jobs * 1e6)

    async def paused_rule(self, drain: dict[str, int]) -> str:
        """Create a rule that defers and is paused. Returns its id."""
        self.rules += 1
        rule_id = f"drain-{self.rules}"
        await put_user_rule(self.system, rule_id, **deferring(drain, paused=True))
        return rule_id

    async def resume(self, rule_id: str, drain: dict[str, int]) -> None:
        """Resume the rule, so that the worker begins to drain."""
        match = {"path_prefix": f"/{rule_id}"}
        await self.system.put_rule(rule_id, key_type="user", key_value="*", match=match, **deferring(drain))

    async def fill(self, rule_id: str, jobs: int, users: Sequence[str]) -> list[str]:
        """Defer this many requests through the edge. Returns the job ids, in no order."""
        url, ids = f"{self.system.url}/{rule_id}", []
        headers = [self.system.auth(user) for user in users]
        await spend_the_first(self.system, url, headers)
        numbers = iter(range(jobs))

        async def some() -> None:
            for number in numbers:
                async with self.system.http.post(url, headers=headers[number % len(users)], data=BODY) as response:
                    job = await response.json()
                    require(response.status == 202, f"{url}: {response.status} {job}")
                    ids.append(job["id"])

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))
        return ids

    async def require_succeeded(self, ids: Sequence[str]) -> None:
        """Raise WrongAnswer unless every job succeeded with the app server's response."""
        remaining = iter(ids)
        while some := list(islice(remaining, 1000)):
            pipeline = self.queue.pipeline(transaction=False)
            for job_id in some:
                pipeline.hmget(keys.record(0, job_id), "status", "answer")
            for job_id, (status, answer) in zip(some, await pipeline.execute(), strict=True):
                require(status == b"succeeded" and answer.startswith(b"200 "), f"job {job_id}: {status} {answer}")
