"""Sending: starts the delivery of jobs at their slots, and returns those that missed theirs."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from time import monotonic

from app.process.lifecycle import cancel
from app.queue.flows import Flows
from app.queue.model import LeasedJob
from app.upstream.response import UpstreamResponse
from app.upstream.upstream import Upstream
from consumers.concurrency_limit import ConcurrencyLimit
from consumers.delivery import Delivery
from consumers.in_flight import InFlight
from consumers.job_places import JobPlaces
from consumers.metrics import WorkerMetrics
from consumers.pacing import Pacer
from consumers.send_gate import SendGate


class Sender:
    """Sends the jobs of all flows that a worker drains, and knows which deliveries have begun."""

    def __init__(
        self,
        flows: Flows,
        delivery: Delivery,
        upstream: Upstream,
        gate: SendGate,
        in_flight: InFlight,
        job_places: JobPlaces,
        concurrency_limit: ConcurrencyLimit,
        metrics: WorkerMetrics,
        grace_s: float,
    ) -> None:
        self._flows = flows
        self._delivery = delivery
        self._upstream = upstream
        self._gate = gate
        self._in_flight = in_flight
        self._job_places = job_places
        self._concurrency_limit = concurrency_limit
        self._metrics = metrics
        self._grace_s = grace_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._pacers: set[Pacer] = set()

    def begin(self, flow: str) -> Pacer:
        """A pacer that sends jobs of one flow in their order."""
        self._gate.begin_drain(flow)
        pacer = Pacer(self._send, self._grace_s, partial(self._gate.may_send, flow), self._upstream.preconnect)
        self._pacers.add(pacer)
        return pacer

    async def end(self, flow: str, pacer: Pacer) -> bool:
        """Wait until all slots have passed, and return the jobs that were not sent; whether there were any.

        Raises QueueUnavailable.
        """
        try:
            unsent = await pacer.finish()
        finally:
            self._pacers.discard(pacer)
        self._gate.end_drain(flow)
        if pacer.late_slots:  # a slot at which nothing might be sent says nothing about this worker
            self._metrics.missed_slots.inc(pacer.late_slots)
            self._concurrency_limit.observe(math.inf, monotonic())
        if unsent:
            await self.return_unsent(unsent)
        return bool(unsent)

    async def return_unsent(self, jobs: Sequence[LeasedJob]) -> None:
        """Return jobs that were not sent to their places in their flows. Raises QueueUnavailable."""
        try:
            await self._flows.release(jobs)
        finally:  # what did not return is reclaimed when its lease ends
            for job in jobs:
                self._job_places.end(job)
                self._in_flight.release(job.flow)

    @property
    def unsent(self) -> Iterable[LeasedJob]:
        """The jobs of all flows that were leased and wait for their slots."""
        return chain.from_iterable(pacer.unsent for pacer in self._pacers)

    def is_in_flight(self, flow: str) -> bool:
        """Whether jobs of a flow were sent and have no outcome yet."""
        return self._in_flight.holds(flow)

    def pause_s(self, flow: str) -> float:
        """Seconds after which a flow is worth another look; 0 if a job of it may be sent now."""
        return self._gate.pause_s(flow)

    async def prepare(self) -> None:
        """Connect to the app servers before slots are asked for: being late would shift all that follows."""
        await self._upstream.preconnect()

    @property
    def capacity(self) -> float:
        """How many jobs of any flows may be sent now."""
        return self._gate.capacity

    async def _send(self, job: LeasedJob, slot_s: float) -> None:
        """Start one delivery; returns as soon as the request is on its way, so that the next can't overtake it."""
        begun = self._delivery.begin(job)
        on_its_way = None if isinstance(begun, UpstreamResponse) and begun.is_sent else asyncio.Event()
        task = asyncio.create_task(self._delivery.attempt(job, begun, None if on_its_way is None else on_its_way.set))
        self._tasks.add(task)
        task.add_done_callback(partial(self._finished, job))
        if on_its_way is not None:
            await on_its_way.wait()
        now = monotonic()
        delay_s = max(0.0, now - slot_s)
        self._metrics.send_delay_s.observe(delay_s)
        self._concurrency_limit.observe(delay_s, now)

    def _finished(self, job: LeasedJob, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._job_places.end(job)
        self._in_flight.release(job.flow)
        if not task.cancelled():
            task.result()

    async def finish(self, within_s: float) -> None:
        """Wait for every delivery that has begun; what takes longer is cancelled, and its job returns to its flow."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=within_s)
        await cancel(self._tasks)
