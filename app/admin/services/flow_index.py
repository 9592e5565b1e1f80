"""An overview of all flows, which is read page by page, a little at a time, and kept in memory.

Nothing keeps flows in the order of their depths or ages: that would cost a write for each job. So the admin process
walks over all flows in small calls, which take at most a fifth of the time of the queue Redis while somebody looks, and
a fiftieth otherwise, and sorts them in its own memory. All viewers share what it found; it says how old that is.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from heapq import nlargest
from itertools import count
from time import monotonic, time

import structlog

from app.admin.services.flows_model import FlowOrder, ListedState
from app.errors import QueueUnavailable
from app.queue.flow_name import own_rule, own_rule_id
from app.queue.flow_settings import setting_names
from app.queue.flow_views import FlowCounts, FlowViews

log = structlog.get_logger()

MAX_FLOWS = 200_000
"""How many flows are kept; the overview says that it is not complete where there are more."""

DEEPEST = 100
"""How many of the deepest flows are looked at for the drain rate."""

MAX_RULES = 1_000
OTHER = "other"
"""Where flows are counted of rules beyond the first ones."""

SEEN_WITHIN_S = 30.0
FEW_FLOWS = 2_000
WAIT_FOR_FRESH_S = 1.0
"""For how long a look waits at most for an overview that begins after it, where there are few flows: a few milliseconds
are enough, but on a busy machine.
"""

IDLE_S = 10.0
PAUSES_WHILE_SEEN = 4
PAUSES_WHILE_IDLE = 49
"""A pause is so many times as long as the call before it."""

MAX_PAUSE_S = 0.5
RATE_STEP_S = 5.0
SNAPSHOT_LIFE_S = 300.0
MAX_SNAPSHOTS = 32
MAX_KEPT_FLOWS = 1_000_000
"""How many flows all snapshots together may name."""


class IndexedFlow:
    """A flow as it was seen last, and two earlier looks, from which its rate is known.

    `ended` is how many of its jobs were final by then. `oldest_ms`: infinite where no job waits.
    """

    __slots__ = ("at_s", "counts", "descriptor", "earlier", "middle", "oldest_ms", "rule_id")

    def __init__(self, counts: FlowCounts, at_s: float) -> None:
        self.rule_id, self.descriptor = own_rule(counts.flow)
        self.earlier = self.middle = (at_s, counts.ended)
        self.see(counts, at_s)

    def see(self, counts: FlowCounts, at_s: float) -> None:
        """Note what was seen. A flow that was empty meanwhile counts anew."""
        if counts.ended < self.middle[1]:
            self.earlier = self.middle = (at_s, counts.ended)
        elif at_s - self.middle[0] >= RATE_STEP_S:
            self.earlier, self.middle = self.middle, (at_s, counts.ended)
        self.counts, self.at_s = counts, at_s
        self.oldest_ms = counts.oldest_ms or float("inf")

    def is_in(self, state: ListedState, paused: frozenset[str]) -> bool:
        """Whether it was in this state when it was seen. `paused`: the names of the settings that pause flows."""
        counts = self.counts
        is_paused = counts.parked or not paused.isdisjoint(setting_names(counts.flow))
        return is_paused if state == "paused" else counts.hold_until_s > self.at_s and not is_paused

    def rate(self, counts: FlowCounts, at_s: float) -> tuple[float, float] | None:
        """How many jobs a second have ended until now, and over how many seconds; None: it was not seen before."""
        since_s, ended = self.earlier
        if at_s - since_s < 1.0 or counts.ended < ended:
            return None
        return (counts.ended - ended) / (at_s - since_s), at_s - since_s


SORT_KEYS: dict[FlowOrder, Callable[[IndexedFlow], object]] = {
    FlowOrder.DEPTH: lambda flow: -flow.counts.depth,
    FlowOrder.AGE: lambda flow: flow.oldest_ms,
    FlowOrder.RULE: lambda flow: flow.rule_id,
}


@dataclass(frozen=True, slots=True)
class FlowSnapshot:
    """Flows in an order that does not change any more, so that pages neither repeat one nor leave one out."""

    id: str
    flows: list[IndexedFlow]
    as_of_s: float
    complete: bool
    made_at_s: float


class RuleTotals:
    """What all flows of a rule have together. `oldest_ms`: when its first waiting job came; None: none waits."""

    __slots__ = ("backing_off", "flows", "in_flight", "oldest_ms", "waiting")

    def __init__(self) -> None:
        self.flows = self.waiting = self.in_flight = self.backing_off = 0
        self.oldest_ms: int | None = None

    def add(self, counts: FlowCounts) -> None:
        """Add one flow."""
        self.flows += 1
        self.waiting += counts.waiting
        self.in_flight += counts.in_flight
        self.backing_off += counts.backing_off
        if counts.oldest_ms:
            self.oldest_ms = min(self.oldest_ms or counts.oldest_ms, counts.oldest_ms)


class FlowIndex:
    """The overview. `run` keeps it current; it survives an outage of the queue Redis with what it had."""

    def __init__(self, views: FlowViews) -> None:
        self._views = views
        self._flows: dict[str, IndexedFlow] = {}
        self._begun: dict[str, IndexedFlow] = {}
        self._named: dict[str, str] = {}
        self._totals: dict[str, RuleTotals] = {}
        self._begun_totals: dict[str, RuleTotals] = {}
        self._held = self._begun_held = 0
        self._deepest: list[str] | None = None
        self._as_of_s = 0.0
        self._complete = False
        self._looked_at_s = float("-inf")
        self._asked = asyncio.Event()
        self._sweeps_begun = 0
        self._swept = asyncio.Condition()
        self._swept_count = 0
        self._snapshot_numbers = count()
        self._snapshots: OrderedDict[tuple[object, ...], FlowSnapshot] = OrderedDict()

    async def run(self) -> None:
        """Look at all flows again and again; runs until cancelled."""
        while True:
            try:
                took_s = await self._sweep()
            except QueueUnavailable as error:
                log.warning("flows_not_seen", error=str(error))
                await asyncio.sleep(1.0)
                continue
            rested_at_s = monotonic() + took_s * PAUSES_WHILE_SEEN
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), IDLE_S)
            self._asked.clear()
            await asyncio.sleep(min(MAX_PAUSE_S, rested_at_s - monotonic()))

    @property
    def flows(self) -> Iterable[IndexedFlow]:
        """All flows as of the last complete look, or those seen so far if there was none."""
        return (self._flows or self._begun).values()

    @property
    def totals(self) -> Mapping[str, RuleTotals]:
        """What the flows of each rule had together at the last complete look; rules beyond the first as `other`."""
        return self._totals

    @property
    def total(self) -> int:
        """How many flows there were at the last complete look, MAX_FLOWS at most."""
        return len(self._flows)

    @property
    def held(self) -> int:
        """How many of them an app server held back then."""
        return self._held

    @property
    def as_of_s(self) -> float:
        """When the last complete look began, in Unix seconds; 0 before the first one."""
        return self._as_of_s

    def find(self, flow: str) -> IndexedFlow | None:
        """A flow by its name, if it was seen."""
        return self._flows.get(flow) or self._begun.get(flow)

    def deepest(self) -> list[str]:
        """The names of the flows with the most jobs at the last complete look. They are found once for each look."""
        if self._deepest is None:
            found = nlargest(DEEPEST, self._flows.values(), key=lambda flow: flow.counts.depth)
            self._deepest = [flow.counts.flow for flow in found]
        return self._deepest

    async def look(self) -> None:
        """Somebody looks: with few flows, wait for what is seen from now on; with many, go on with what there is."""
        self._looked_at_s = monotonic()
        self._asked.set()
        if len(self._flows) > FEW_FLOWS:
            return
        wanted = self._sweeps_begun + 1
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_FOR_FRESH_S), self._swept:
                await self._swept.wait_for(lambda: self._swept_count >= wanted)

    def snapshot(
        self,
        order: FlowOrder,
        rule_id: str | None,
        descriptor: str | None,
        state: ListedState | None = None,
        paused: frozenset[str] = frozenset(),
    ) -> FlowSnapshot:
        """The flows of a rule, of a descriptor, in a state, or all, in this order.

        `paused`: the names of the settings that pause flows, which is asked for where paused ones are wanted.
        """
        key = (self._swept_count, order, rule_id, descriptor, state, paused)
        known = self._snapshots.get(key)
        if known is not None:
            return known
        is_about = _about(descriptor)
        flows = [
            flow
            for flow in self.flows
            if (rule_id is None or flow.rule_id == rule_id)
            and (is_about is None or is_about(flow.counts.flow))
            and (state is None or flow.is_in(state, paused))
        ]
        flows.sort(key=SORT_KEYS[order])  # type: ignore[arg-type] # each order has keys of one comparable type
        now_s = monotonic()
        snapshot = FlowSnapshot(
            f"{time():.3f}-{next(self._snapshot_numbers)}", flows, self._as_of_s, self._complete, now_s
        )
        if self._complete:
            self._snapshots[key] = snapshot
            self._forget_snapshots(now_s)
        return snapshot

    def kept_snapshot(self, snapshot_id: str) -> FlowSnapshot | None:
        """A snapshot of which pages were shown; None if it is forgotten."""
        return next((one for one in self._snapshots.values() if one.id == snapshot_id), None)

    def _forget_snapshots(self, now_s: float) -> None:
        kept = sum(len(one.flows) for one in self._snapshots.values())
        while len(self._snapshots) > 1:
            oldest = next(iter(self._snapshots.values()))
            is_old = now_s - oldest.made_at_s > SNAPSHOT_LIFE_S
            if not is_old and len(self._snapshots) <= MAX_SNAPSHOTS and kept <= MAX_KEPT_FLOWS:
                return
            self._snapshots.popitem(last=False)
            kept -= len(oldest.flows)

    async def _sweep(self) -> float:
        """Look at every flow once, and return how long the last call took. What is gone is forgotten in the end."""
        self._sweeps_begun += 1
        began_s, complete, took_s = time(), True, 0.0
        self._begun, self._begun_totals, self._begun_held = {}, {}, 0
        for partition in range(self._views.partitions):
            cursor: bytes | None = b"0"
            while cursor is not None:
                asked_at_s = monotonic()
                page = await self._views.scan(partition, cursor)
                took_s, cursor = monotonic() - asked_at_s, page.next
                for counts in page.flows:
                    complete = self._see(counts, page.at_s) and complete
                if cursor is not None:
                    await self._pause(took_s)
        self._flows, self._begun, self._totals = self._begun, {}, self._begun_totals
        self._as_of_s, self._complete, self._held = began_s, complete, self._begun_held
        self._deepest = None
        async with self._swept:
            self._swept_count = self._sweeps_begun
            self._swept.notify_all()
        return took_s

    def _see(self, counts: FlowCounts, at_s: float) -> bool:
        """Note a flow; whether there is room for it. One that comes twice counts once."""
        if counts.flow not in self._begun:
            self._totals_of(own_rule_id(counts.flow)).add(counts)
            self._begun_held += counts.hold_until_s > at_s and not counts.parked  # what is paused is not held as well
        flow = self._flows.get(counts.flow)
        if flow is None:
            if len(self._begun) >= MAX_FLOWS:
                return False
            flow = IndexedFlow(counts, at_s)
        else:
            flow.see(counts, at_s)
        self._begun[counts.flow] = flow
        return True

    def _totals_of(self, rule_id: str) -> RuleTotals:
        """Where the flows of a rule are counted: the first rules that were seen each have a place of their own."""
        name = self._named.get(rule_id)
        if name is None:
            name = OTHER
            if len(self._named) < MAX_RULES:
                name = self._named[rule_id] = rule_id
        totals = self._begun_totals.get(name)
        if totals is None:
            totals = self._begun_totals[name] = RuleTotals()
        return totals

    async def _pause(self, took_s: float) -> None:
        is_seen = monotonic() - self._looked_at_s < SEEN_WITHIN_S
        await asyncio.sleep(min(MAX_PAUSE_S, took_s * (PAUSES_WHILE_SEEN if is_seen else PAUSES_WHILE_IDLE)))


def _about(descriptor: str | None) -> Callable[[str], object] | None:
    """Finds out by its name whether a flow is charged to this descriptor, or is this caller's; None: any is."""
    return None if descriptor is None else re.compile(rf"[|>]{re.escape(descriptor)}(?=[;>]|$)").search
