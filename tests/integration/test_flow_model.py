"""A flow on a real Redis against a flow as a plain Python list: the same order, positions, counts and ends."""

import asyncio
from dataclasses import replace
from enum import Enum, auto
from typing import cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from app.jobs.model import JobStatus, StoredResponse, encode_request
from app.queue import keys
from app.queue.flow_name import encode_costs
from app.queue.model import (
    Deferral,
    Enqueued,
    FrozenCharge,
    Full,
    FullReason,
    LeasedJob,
    Settlement,
    TakenFlow,
    Wait,
)
from app.settings import Settings
from tests.support.flow_machine import CHOICES, PREFIX, Choices, FlowMachine, run_machine
from tests.support.flow_model import MAX_ATTEMPTS, ModelFlow
from tests.support.flow_steps import LONG_US, active, deferral, ids, make_late

MAX_DEPTH = 8
INTERVAL_S = 0.1
FLOW = "r|user:u"
STEPS = (
    "enqueue", "enqueue", "take_and_lease", "take_and_lease", "take_and_lease", "attempts_end", "attempts_end",
    "give_back", "late_give_back", "park", "reschedule", "reclaim", "extend", "backoff_ends", "time_is_over",
    "expire", "cancel",
)  # fmt: skip


class Ending(Enum):
    """How an attempt ends."""

    GOES_ON = auto()
    RELEASED = auto()
    RETRIED = auto()
    RETRIED_FOR_NOTHING = auto()
    HELD = auto()
    SUCCEEDED = auto()
    FAILED = auto()


class OneFlowMachine(FlowMachine):
    """Each step is one that an edge, a worker or a client takes; some set the clock on by direct writes."""

    def __init__(self) -> None:
        super().__init__()
        self.model = ModelFlow()
        self.leased: dict[str, LeasedJob] = {}
        self.taken: TakenFlow | None = None
        self.lost: TakenFlow | None = None
        self.unsent: tuple[str, str] | None = None
        """The last job that was leased, and with which token, until that worker says that it has sent what it had."""
        self.parked = False
        self.revision = 1
        self.numbers = 0

    @rule(name=st.sampled_from(STEPS), choices=CHOICES)
    def step(self, name: str, choices: Choices) -> None:
        """One rule for all steps: of many rules hypothesis leaves some out, and a job needs several to get on."""
        getattr(self, name)(choices)

    # ------------------------------------------------------------------------------------------------------- edges

    @initialize()
    def begin_with_jobs(self) -> None:
        self._enqueue_all([1, 1, 3, 1, 1])

    def enqueue(self, choices: Choices) -> None:
        """Several at once, in one call; what is beyond the depth is refused, each by itself."""
        self._enqueue_all([choices.one_of([1, 1, 1, 3]) for _ in range(choices.up_to(4))])

    def _enqueue_all(self, costs: list[int]) -> None:
        asked = [self._deferral(cost) for cost in costs]

        async def enqueue_all() -> list[Enqueued | Full]:
            return list(await asyncio.gather(*(self.flows.enqueue(each) for each in asked)))

        for cost, each, answer in zip(costs, asked, self.run(enqueue_all()), strict=True):
            if len(self.model.open) >= MAX_DEPTH:
                assert isinstance(answer, Full)
                assert answer.reason is FullReason.DEPTH
            else:
                assert isinstance(answer, Enqueued)
                assert answer.flow_was_empty is (not self.model.waiting)
                self.model.add(answer.job.id, cost, len(encode_request(each.request)))
                assert answer.job.position == len(self.model.waiting)

    def _deferral(self, cost: int) -> Deferral:
        self.numbers += 1
        queue = {"max_depth": MAX_DEPTH, "max_attempts": MAX_ATTEMPTS}
        charges = (FrozenCharge("r", "user:u", cost),)
        return deferral(self.numbers, active(self.revision, queue=queue), charges=charges)

    # ----------------------------------------------------------------------------------------------------- workers

    def take_and_lease(self, choices: Choices) -> None:
        self._take()
        if self.taken is not None:
            self._lease(choices.up_to(5))

    def _take(self) -> None:
        units = self.run(self.flows.take(0, 10, LONG_US))[1]
        if self.taken is not None or self.parked:
            assert units == []
            return
        if not self.model.waiting or self._may_be_unsent():
            assert units == [], "none waits, or those before them may not have been sent"
            self.run(self.redis.zadd(PREFIX + "due:0", {FLOW: 1}, xx=True))  # or it would rest for a while
            return
        [unit] = units
        assert isinstance(unit, TakenFlow)
        self.taken = unit
        self._has_head(unit)

    def _may_be_unsent(self) -> bool:
        return self.unsent is not None and self.model.jobs[self.unsent[1]].state == "running"

    def _has_head(self, unit: TakenFlow) -> None:
        waiting = self.model.waiting
        assert (unit.head.name, unit.head.depth) == (FLOW, len(waiting))
        if waiting:
            assert unit.head.same_cost == self.model.same_cost()
            assert unit.head.costs == encode_costs([self.model.jobs[waiting[0]].cost])
        else:
            assert unit.head.same_cost == 0

    def _lease(self, n: int) -> None:
        assert self.taken is not None
        cost = 3 if self.taken.head.costs == "3" else 1
        expected = self.model.lease(n, cost)
        answer = self.run(self.flows.lease(self.taken, n, consumer="c", keep_us=LONG_US))
        assert answer is not None
        assert list(ids(answer.jobs)) == expected
        assert [job.attempt for job in answer.jobs] == [self.model.jobs[job_id].attempts for job_id in expected]
        self.leased |= {job.id: job for job in answer.jobs}
        if answer.jobs:
            self.unsent = (self.taken.token, answer.jobs[-1].id)
        self._forget_closed()
        if self.taken is not None:
            self.taken = replace(self.taken, head=answer.head)
            self._has_head(self.taken)

    def give_back(self, _: Choices) -> None:
        if self.taken is None:
            return
        assert self.run(self.flows.give_back(self.taken, Wait(0)))
        assert self.run(self.flows.lease(self.taken, 1, consumer="c", keep_us=0)) is None, "it is not ours any more"
        self.taken = self.unsent = None

    def late_give_back(self, _: Choices) -> None:
        """The flow was taken from a worker, which has sent what it had in hand meanwhile."""
        if self.lost is None:
            return
        assert not self.run(self.flows.give_back(self.lost, Wait(0)))
        if self.unsent is not None and self.unsent[0] == self.lost.token:
            self.unsent = None
        self.lost = None

    def park(self, _: Choices) -> None:
        if self.taken is None:
            return
        self.run(self.flows.park(FLOW, self.taken.token, self.revision))
        assert self.run(self.flows.lease(self.taken, 1, consumer="c", keep_us=0)) is None, "it is nobody's"
        self.taken, self.lost, self.parked = None, self.taken, True

    def reschedule(self, _: Choices) -> None:
        self.revision += 1
        self.run(self.flows.reschedule("r", active(self.revision)))
        self.parked = False

    def attempts_end(self, choices: Choices) -> None:
        """Each job that runs goes on, or its attempt ends in one way, in any order."""
        of: dict[Ending, list[str]] = {ending: [] for ending in Ending}
        for number in choices.shuffled(range(len(self.leased))):
            of[choices.one_of(list(Ending))].append(self._running()[number])
        self._release(of[Ending.RELEASED])
        self._retry(of[Ending.RETRIED], gives_back=False)
        self._retry(of[Ending.RETRIED_FOR_NOTHING], gives_back=True)
        for job_id in of[Ending.HELD]:
            self._hold(job_id)
        self._settle(of[Ending.SUCCEEDED], fails=False)
        self._settle(of[Ending.FAILED], fails=True)

    def _release(self, job_ids: list[str]) -> None:
        self.run(self.flows.release([self.leased.pop(job_id) for job_id in job_ids]))
        for job_id in job_ids:
            self.model.give_attempt_back(job_id)

    def _retry(self, job_ids: list[str], *, gives_back: bool) -> None:
        for job_id in job_ids:
            job = self.leased.pop(job_id)
            assert self.run(self.flows.retry(job, 3000, "upstream_error", "500", give_back=gives_back))
            self.model.back_off(job_id, gives_back=gives_back)

    def _hold(self, job_id: str) -> None:
        """An answer holds the flow: it is nobody's, and due when the hold ends, which is at once here."""
        job = self.leased.pop(job_id)
        assert self.run(self.flows.hold(job, 0.001, 0.001, 0.0, "upstream_unavailable", "503"))
        self.model.give_attempt_back(job_id)
        if self.taken is not None:
            assert self.run(self.flows.lease(self.taken, 1, consumer="c", keep_us=0)) is None, "it is held"
            self.lost = self.taken
        self.taken = None
        self.run(asyncio.sleep(0.002))

    def _settle(self, job_ids: list[str], *, fails: bool) -> None:
        if not job_ids:
            return
        jobs = [self.leased.pop(job_id) for job_id in job_ids]
        settlements = [_settlement(job, fails=fails) for job in jobs]
        stolen = Settlement(replace(jobs[0], lease="another"), JobStatus.FAILED, "attempts_exhausted", "no")
        stored = self.run(self.flows.settle([stolen, *settlements, settlements[-1]]))
        assert stored == [False, *([True] * len(jobs)), False]
        for job in jobs:
            self.model.jobs[job.id].state = "failed" if fails else "succeeded"
        self._forget_closed()

    def reclaim(self, _: Choices) -> None:
        """All workers went away."""
        assert self.run(self.flows.reclaim(0, "other", 0)) == self.model.reclaim()
        self.leased.clear()
        self._forget_closed()

    def extend(self, _: Choices) -> None:
        self.run(self.flows.extend(list(self.leased.values()), "c"))

    # ----------------------------------------------------------------------------------------------- time and clients

    def backoff_ends(self, choices: Choices) -> None:
        backing_off = self.model.in_state("backing_off")
        returning = [job_id for job_id in backing_off if choices.one_of([True, False])]
        if returning:
            self.run(self.redis.zadd(PREFIX + "retry", dict.fromkeys(returning, 0)))
        for job_id in returning:
            self.model.return_from_backoff(job_id)
        self.expire(choices)

    def time_is_over(self, choices: Choices) -> None:
        """One that waits is late from now on, and ends when somebody looks."""
        if not self.model.waiting:
            return
        job_id = choices.one_of(self.model.waiting)
        self.run(make_late(self.redis, job_id, FLOW))
        self.model.jobs[job_id].is_late = True

    def expire(self, _: Choices) -> None:
        assert self.run(self.flows.expire(0)) == self.model.expire()
        self._forget_closed()

    def cancel(self, choices: Choices) -> None:
        job_id = choices.one_of(list(self.model.jobs))
        job = self.model.jobs[job_id]
        may_be_canceled = job.state in {"waiting", "backing_off", "canceled"}
        assert self.run(self.records.cancel(job_id)) is may_be_canceled
        if may_be_canceled:
            job.state = "canceled"
        self._forget_closed()

    # -------------------------------------------------------------------------------------------------- what must hold

    @invariant()
    def clients_see_what_the_model_has(self) -> None:
        seen = self.run(self.records.page("own", 1000)).jobs  # one call, so that all are seen at one time
        assert [job.id for job in seen] == list(self.model.jobs)[::-1], "newest first, none left out"
        waiting, etas = self.model.waiting, {}
        for job in seen:
            of_model = self.model.jobs[job.id]
            assert (job.status, job.attempts) == (of_model.status, of_model.attempts)
            assert job.position == (waiting.index(job.id) + 1 if job.id in waiting else None)
            assert job.waiting_for == ("r" if job.id in waiting else None)
            etas[job.id] = job.eta_s
        for index, job_id in enumerate(waiting):
            if self.parked:
                assert etas[job_id] is None
            else:
                first, eta = etas[waiting[0]], etas[job_id]
                assert first is not None
                assert eta is not None
                assert eta - first == pytest.approx(index * INTERVAL_S, abs=1e-5)

    @invariant()
    def counts_are_those_of_the_model(self) -> None:
        self.run(self._counts())

    async def _counts(self) -> None:
        open_jobs = self.model.open
        asked = self.redis.pipeline(transaction=False)
        asked.hmget(PREFIX + "totals", "jobs", "bytes")
        asked.hmget(PREFIX + "flow:" + FLOW, "open", "bytes")
        asked.xlen(keys.jobs_stream(0))
        asked.xpending(keys.jobs_stream(0), "workers")
        total, of_flow, entries, pending = await asked.execute()
        expected = [len(open_jobs), sum(job.request_bytes for job in open_jobs)]
        assert [int(value or 0) for value in total] == expected
        assert [int(value or 0) for value in of_flow] == expected
        assert entries == len(open_jobs)
        assert pending["pending"] == len(self.leased) == len(self._running())

    def _running(self) -> list[str]:
        return self.model.in_state("running")

    def _forget_closed(self) -> None:
        """A flow without open jobs is gone, and with it who holds it and whether it is parked."""
        if not self.model.open:
            self.taken, self.unsent, self.parked = None, None, False

    def end_all(self) -> None:
        self.run(self._end_all())

    async def _end_all(self) -> None:
        for job in self.leased.values():
            assert await self.flows.settle([_settlement(job, fails=False)]) == [True]
        for job_id in [*self.model.waiting, *self.model.in_state("backing_off")]:
            assert await self.records.cancel(job_id)
        left = {key.decode(): await self.redis.ttl(key) for key in cast("list[bytes]", await self.redis.keys("*"))}
        lasting = {key.removeprefix(PREFIX) for key, ttl in left.items() if ttl < 0}
        assert lasting <= {"jobs", "priorities", "revisions", "dead"}
        assert await self.redis.xlen(keys.jobs_stream(0)) == 0


def _settlement(job: LeasedJob, *, fails: bool) -> Settlement:
    if fails:
        return Settlement(job, JobStatus.FAILED, "attempts_exhausted", "no")
    return Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b"answer"))


def test_a_flow_does_what_a_list_would(settings: Settings) -> None:
    run_machine(OneFlowMachine, settings, examples=40, steps=50)
