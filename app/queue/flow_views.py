"""Flows as operators look at them. Looking reads only: nothing is written for it, neither here nor by jobs."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from app.queue import keys
from app.redis_wire.scripts import Argument, Scripts
from app.settings import Settings

FLOWS_A_SCAN = 25
FLOWS_A_LOOK = 20


class FlowCounts(NamedTuple):
    """What is counted of a flow. `depth`: its jobs that are not final; `waiting` and `backing_off` are among them.

    `ended`: how many of its jobs are final, since it was last empty. `oldest_ms`: when the first job that waits was
    accepted, in Unix milliseconds; 0: none waits. `hold_until_s`: until when it is held for the app server's sake,
    by the queue's clock; 0: it is not. `parked`: no worker looks at it, because it or its rule is paused.
    """

    flow: str
    depth: int
    waiting: int
    backing_off: int
    bytes: int
    ended: int
    oldest_ms: int
    hold_until_s: float
    parked: bool

    @property
    def in_flight(self) -> int:
        """How many jobs are leased: they are being sent, or are about to be."""
        return max(0, self.depth - self.waiting - self.backing_off)


class FlowPageScan(NamedTuple):
    """One page of all flows of a partition, as of `at_s` by the queue's clock. `next` is None after the last page."""

    next: bytes | None
    at_s: float
    flows: list[FlowCounts]


class FlowDetails(NamedTuple):
    """A flow as of `at_s` by the queue's clock.

    `first_wait_s`: until its first waiting job may be sent; `interval_s`: between two jobs; None where that is not
    known. `waits_for`: the rule whose limit it waits for. `for_place`: it waits for a place among the requests in
    flight. `hold_code`: why the app server takes no more of it.
    """

    counts: FlowCounts
    at_s: float
    first_wait_s: float | None
    interval_s: float | None
    waits_for: str
    for_place: bool
    hold_code: str
    priority: int


class FlowViews:
    """Looks at flows. Every method raises QueueUnavailable."""

    def __init__(self, scripts: Scripts, settings: Settings) -> None:
        self._scripts = scripts
        self.partitions = settings.queue_partitions

    async def scan(self, partition: int, cursor: bytes = b"0") -> FlowPageScan:
        """One page of all flows of a partition, in no order. A flow that is there all the time comes at least once."""
        arguments: list[Argument] = [cursor, FLOWS_A_SCAN]
        following, at_us, *fields = await self._scripts.call("flow_scan", [keys.prefix(partition)], arguments)
        reader = iter(fields)
        flows = [_counts(reader, name) for name in reader]
        return FlowPageScan(None if following == b"0" else following, at_us / 1e6, flows)

    async def details(self, flows: Sequence[str]) -> dict[str, FlowDetails]:
        """These flows, without those that have no jobs."""
        by_partition: dict[int, list[str]] = {}
        for flow in flows:
            by_partition.setdefault(keys.partition_of_flow(flow, self.partitions), []).append(flow)
        found: dict[str, FlowDetails] = {}
        for partition, names in by_partition.items():
            for first in range(0, len(names), FLOWS_A_LOOK):
                page = names[first : first + FLOWS_A_LOOK]
                at_us, *fields = await self._scripts.call("flow_details", [keys.prefix(partition)], page)
                reader = iter(fields)
                for name in reader:
                    details = _details(reader, name, at_us / 1e6)
                    found[details.counts.flow] = details
        return found


def _counts(reader: Iterator[Any], name: bytes) -> FlowCounts:
    depth, waiting, backing_off, size, ended, oldest_ms, hold_until_us, parked = islice(reader, 8)
    hold_until_s = int(hold_until_us) / 1e6
    return FlowCounts(name.decode(), depth, waiting, backing_off, size, ended, oldest_ms, hold_until_s, parked == 1)


def _details(reader: Iterator[Any], name: bytes, at_s: float) -> FlowDetails:
    counts = _counts(reader, name)
    first_wait_us, interval_us, waits_for, for_place, hold_code, priority = islice(reader, 6)
    return FlowDetails(
        counts,
        at_s,
        None if first_wait_us < 0 else first_wait_us / 1e6,
        None if interval_us < 0 else interval_us / 1e6,
        waits_for.decode(),
        for_place == 1,
        hold_code.decode(),
        int(priority),
    )
