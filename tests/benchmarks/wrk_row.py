"""A row of a table that wrk measures."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.errors import require
from tests.benchmarks.load import ExpectedResponse, LoadResult, run
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import cpu_s
from tests.benchmarks.samples import Sample

CONNECTIONS = 32
SETTLED_AFTER_S = 0.3
"""Time for the requests that wrk had sent when it ended to reach the app server."""


@dataclass
class WrkRow:
    """Requests to one server and the expected response.

    `hits` counts the requests that the app server got; `passed_on`: whether it must get them.
    """

    url: str
    pid: int
    requests: Path
    expected: ExpectedResponse
    hits: Callable[[], Awaitable[int]]
    passed_on: bool
    _answer_bytes: dict[int, float] = field(default_factory=dict)

    async def run(self, plan: Plan, connections: int = CONNECTIONS) -> Sample:
        """Measure one run. Before the first, another run checks every response."""
        if connections not in self._answer_bytes:
            checked = await run(self.url, self.requests, connections, plan.warm_up_s, self.expected)
            self._answer_bytes[connections] = checked.answer_bytes
            await run(self.url, self.requests, connections, plan.warm_up_s)
            await asyncio.sleep(SETTLED_AFTER_S)
        hits, cpu = await self.hits(), cpu_s(self.pid)
        load = await run(self.url, self.requests, connections, plan.seconds)
        cpu = cpu_s(self.pid) - cpu
        await asyncio.sleep(SETTLED_AFTER_S)
        self._require_right(load, await self.hits() - hits, connections)
        return Sample(load.requests / load.seconds, cpu / load.requests * 1e6, load.p50_us)

    def _require_right(self, load: LoadResult, hits: int, connections: int) -> None:
        refused = load.requests if self.expected.status >= 400 else 0
        require(load.refused == refused, f"{self.url}: {load.refused} of {load.requests} answers have 4xx or 5xx")
        least = load.requests if self.passed_on else 0
        most = load.requests + connections if self.passed_on else 0
        require(least <= hits <= most, f"{self.url}: {load.requests} answers, but {hits} of them arrived")
        checked = self._answer_bytes[connections]
        same = abs(load.answer_bytes / checked - 1) < 0.1
        require(same, f"{self.url}: answers of {load.answer_bytes:.0f} bytes; of {checked:.0f} when they were checked")
