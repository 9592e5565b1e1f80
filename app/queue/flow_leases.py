"""Leasing: workers take flows and rings that are due, lease their jobs, and give them back."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from time import monotonic
from typing import NamedTuple

from app.jobs.model import JobStatus, StoredRequest
from app.queue import keys
from app.queue.batching import Batcher
from app.queue.encoding import FoundJob, UnitLease, read_leased, read_taken
from app.queue.envelope import Envelope, UnreadableRequest
from app.queue.flow_outcomes import FlowOutcomes
from app.queue.model import Lease, LeasedJob, Settlement, TakenFlow, TakenRing, Turn, Wait
from app.redis_wire.scripts import Argument, Scripts
from app.settings import Settings

MAX_UNITS_AT_ONCE = 128
MAX_LEASED_AT_ONCE = 128
LOOK = 64
"""How many jobs of a flow a script looks at to see how many cost the same, where not all do."""

MAX_TURNS = 64
"""How many flows of a ring a script names."""

EMPTY_REQUEST = StoredRequest("", b"", [], b"")


class _LeaseRequest(NamedTuple):
    """One unit's part of a call of lease.lua; `arguments` are as the script names them.

    `weight` is how many jobs are leased, and more for a ring, since the script names its next flows.
    """

    weight: int
    arguments: tuple[Argument, ...]


class FlowLeases(FlowOutcomes):
    """What workers do with flows that are due. Every method raises QueueUnavailable.

    Leasing and giving back are batched: what one process does in one turn of its event loop is one call.
    """

    def __init__(self, scripts: Scripts, settings: Settings) -> None:
        super().__init__(scripts, settings)
        self._envelope = Envelope.of(settings)
        self._leasing: dict[tuple[int, str], Batcher[_LeaseRequest, Lease | None]] = {}
        self._giving_back: dict[int, Batcher[tuple[Argument, ...], bool]] = {}

    async def take(
        self, partition: int, max_units: int, flow_lease_us: int
    ) -> tuple[float | None, list[TakenFlow | TakenRing]]:
        """Take what is due; and seconds until the next will be (None: nothing waits)."""
        token = secrets.token_hex(8)
        arguments: list[Argument] = [max_units, flow_lease_us, token, LOOK, MAX_TURNS]
        return read_taken(await self._call("take", partition, arguments), partition, token, monotonic())

    async def lease(self, flow: TakenFlow, n: int, *, consumer: str, keep_us: int, next_us: int = 0) -> Lease | None:
        """Lease up to `n` jobs that cost `flow.head.costs`, and keep the flow for so long. None: the flow was lost.

        `next_us`: after how long the job behind them may be sent. One call leases no more than `MAX_LEASED_AT_ONCE`.
        """
        n = min(n, MAX_LEASED_AT_ONCE)
        unit: tuple[Argument, ...] = (flow.name, flow.token, keep_us, next_us, 0, n, flow.head.costs)
        return await self._lease(self._partition_of(flow), consumer, _LeaseRequest(n, unit))

    async def lease_turns(
        self, ring: TakenRing, turns: Sequence[Turn], *, consumer: str, keep_us: int, next_us: int = 0
    ) -> Lease | None:
        """Give flows of a ring their turns, and keep the ring for so long. None: the ring was lost.

        `next_us`: after how long the ring's counter has its next slot.
        """
        arguments: list[Argument] = [ring.name, ring.token, keep_us, next_us, len(turns)]
        for turn in turns:
            wait = turn.elsewhere
            elsewhere: tuple[Argument, ...] = (-1, "", 0, "") if wait is None else _wait_arguments(wait)
            arguments += [turn.flow, turn.n, turn.costs, *elsewhere]
        weight = sum(turn.n for turn in turns) + min(ring.size, MAX_TURNS) // 2
        return await self._lease(ring.partition, consumer, _LeaseRequest(weight, tuple(arguments)))

    def _partition_of(self, unit: TakenFlow | TakenRing) -> int:
        if isinstance(unit, TakenRing):
            return unit.partition
        return keys.partition_of_flow(unit.name, self._partitions)

    async def _lease(self, partition: int, consumer: str, request: _LeaseRequest) -> Lease | None:
        name = (partition, consumer)
        batcher = self._leasing.get(name)
        if batcher is None:

            async def lease(requests: Sequence[_LeaseRequest]) -> Sequence[Lease | None]:
                return await self._lease_all(partition, consumer, requests)

            batcher = self._leasing[name] = Batcher(
                lease, MAX_UNITS_AT_ONCE, lambda request: request.weight, MAX_LEASED_AT_ONCE
            )
        return await batcher.submit(request)

    async def _lease_all(self, partition: int, consumer: str, requests: Sequence[_LeaseRequest]) -> list[Lease | None]:
        lease = secrets.token_hex(8)
        arguments: list[Argument] = [lease, consumer, LOOK, MAX_TURNS]
        for request in requests:
            arguments += request.arguments
        at_us, units = read_leased(await self._call("lease", partition, arguments))
        return [None if unit is None else await self._leased(lease, unit, at_us) for unit in units]

    async def _leased(self, lease: str, unit: UnitLease, at_us: int) -> Lease:
        readable = await self._readable(lease, unit.jobs)
        return Lease(tuple(readable), unit.heads, unit.must_take_turns, at_us)

    async def _readable(self, lease: str, found: Sequence[FoundJob]) -> list[LeasedJob]:
        """What was leased. A job whose request can't be read ends as a dead letter and is never sent."""
        jobs: list[LeasedJob] = []
        damaged: list[Settlement] = []
        for raw_id, raw_flow, attempt, raw_max_attempts, stored in found:
            job_id, flow, max_attempts = raw_id.decode(), raw_flow.decode(), int(raw_max_attempts)
            try:
                request = self._envelope.decode(job_id, stored)
            except UnreadableRequest as error:
                job = LeasedJob(job_id, flow, lease, attempt, max_attempts, EMPTY_REQUEST)
                damaged.append(Settlement(job, JobStatus.FAILED, "attempts_exhausted", str(error)))
            else:
                jobs.append(LeasedJob(job_id, flow, lease, attempt, max_attempts, request))
        if damaged:
            await self.settle(damaged)
        return jobs

    async def give_back(self, unit: TakenFlow | TakenRing, wait: Wait) -> bool:
        """Give a flow or a ring back, to be due after `wait`. False: it was lost.

        All jobs of a flow that were leased with its token must have been sent or have returned: others go on with it.
        """
        partition = self._partition_of(unit)
        batcher = self._giving_back.get(partition)
        if batcher is None:

            async def give_back(requests: Sequence[tuple[Argument, ...]]) -> Sequence[bool]:
                arguments = [argument for request in requests for argument in request]
                return [given == 1 for given in await self._call("give_back", partition, arguments)]

            batcher = self._giving_back[partition] = Batcher(
                give_back, MAX_UNITS_AT_ONCE, lambda _: 1, MAX_UNITS_AT_ONCE
            )
        return await batcher.submit((unit.name, unit.token, *_wait_arguments(wait)))

    async def sent(self, flows: Sequence[str], token: str) -> None:
        """Say that all jobs of these flows of a ring that were leased with its token were sent or have returned."""
        for at in range(0, len(flows), MAX_UNITS_AT_ONCE):
            page = flows[at : at + MAX_UNITS_AT_ONCE]
            await self._call("sent", keys.partition_of_flow(page[0], self._partitions), [token, *page])

    async def make_due(self, waiting: Mapping[str, Collection[str]]) -> None:
        """What flows wait for at counters has come early: they and the rings of the counters are due now."""
        by_partition: dict[int, list[str]] = {}
        for counter, flows in waiting.items():
            partitions = {keys.partition_of_flow(flow, self._partitions) for flow in flows}
            for partition in partitions:
                by_partition.setdefault(partition, []).append(f"~{counter}")
            for flow in flows:
                by_partition[keys.partition_of_flow(flow, self._partitions)].append(flow)
        for partition, units in by_partition.items():
            for at in range(0, len(units), MAX_UNITS_AT_ONCE):
                await self._call("make_due", partition, units[at : at + MAX_UNITS_AT_ONCE])

    async def park(self, flow: str, token: str, revision: int, settings_version: int | None = None) -> None:
        """Stop draining a flow that is paused, until what paused it changes; `token`: who holds it.

        Its rule is paused in this revision; or it is paused by itself in this version of the settings.
        """
        version: Argument = "" if settings_version is None else settings_version
        await self._call("park", keys.partition_of_flow(flow, self._partitions), [flow, token, revision, version])


def _wait_arguments(wait: Wait) -> tuple[Argument, ...]:
    return (wait.wait_us, wait.counter, wait.interval_us, "" if wait.revision is None else wait.revision)
