"""A pacer sends in order, never uses a slot late, and returns the jobs that it could not send."""

import asyncio

import pytest

from app.jobs.model import StoredRequest
from app.queue.model import LeasedJob
from consumers.lead_time import LeadTime
from consumers.pacing import MAX_CONSECUTIVE_SENDS, TIMER_RESOLUTION_S, Pacer

REQUEST = StoredRequest("GET", b"/", [], b"")


def jobs(first: int, count: int) -> list[LeasedJob]:
    return [LeasedJob(str(number), "flow", "lease", 1, 5, REQUEST) for number in range(first, first + count)]


class Clock:
    """A clock that stands still but while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self._yield = asyncio.sleep

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, delay_s: float) -> None:
        self.now_s += delay_s
        await self._yield(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("consumers.pacing.monotonic", clock.monotonic)
    monkeypatch.setattr("asyncio.sleep", clock.sleep)
    return clock


async def test_each_job_is_sent_at_its_slot_in_order(clock: Clock) -> None:
    sent = []

    async def send(job: LeasedJob, slot: float) -> None:
        sent.append((job.id, slot, clock.now_s))

    slots = [clock.now_s + 0.02 + number / 100 for number in range(5)]
    pacer = Pacer(send, grace_s=10)
    pacer.add(jobs(0, 3), slots[:3])
    pacer.add(jobs(3, 2), slots[3:])
    assert await pacer.finish() == []
    assert [(job, slot) for job, slot, _ in sent] == [(str(number), slot) for number, slot in enumerate(slots)]
    for _, slot, at in sent:
        assert slot <= at <= slot + TIMER_RESOLUTION_S, "each job is sent at its slot, and none before it"


async def test_a_missed_slot_is_given_up_and_order_kept(clock: Clock) -> None:
    sent = []

    async def send(job: LeasedJob, slot: float) -> None:
        sent.append((job.id, slot))

    now = clock.now_s
    later = now + 0.05
    pacer = Pacer(send, grace_s=0.02)
    pacer.add(jobs(0, 3), [now - 1, now - 0.5, later])
    left = await pacer.finish()
    assert sent == [("0", later)], "the first job takes the first slot that was not missed"
    assert [job.id for job in left] == ["1", "2"]


async def test_a_job_that_missed_its_slot_takes_the_next_one(clock: Clock) -> None:
    sent = []

    async def send(job: LeasedJob, _: float) -> None:
        sent.append(job.id)

    pacer = Pacer(send, grace_s=0.5)
    pacer.add(jobs(0, 1), [clock.now_s - 1])
    await asyncio.sleep(0.01)
    pacer.add(jobs(1, 1), [clock.now_s])
    assert [job.id for job in await pacer.finish()] == ["1"]
    assert sent == ["0"]


async def test_jobs_whose_slots_were_missed_are_taken_back_while_the_others_go_on(clock: Clock) -> None:
    sent = []

    async def send(job: LeasedJob, _: float) -> None:
        sent.append(job.id)

    now = clock.now_s
    pacer = Pacer(send, grace_s=0.02)
    pacer.add(jobs(0, 4), [now - 1, now - 1, now + 0.1, now + 0.2])
    assert pacer.take_missed() == [], "none is known to be missed yet"
    await asyncio.sleep(0.01)
    assert [job.id for job in pacer.take_missed()] == ["2", "3"], "the first ones take the slots that are left"
    assert await pacer.finish() == []
    assert sent == ["0", "1"]
    assert pacer.is_idle


async def test_a_slow_send_delays_the_next_one(clock: Clock) -> None:
    sent = []

    async def send(job: LeasedJob, _: float) -> None:
        sent.append((job.id, "begun"))
        await asyncio.sleep(0.05)
        sent.append((job.id, "sent"))

    now = clock.now_s
    pacer = Pacer(send, grace_s=10)
    pacer.add(jobs(0, 2), [now, now])
    await pacer.finish()
    assert sent == [("0", "begun"), ("0", "sent"), ("1", "begun"), ("1", "sent")]


def test_the_lead_time_rises_at_once_with_slow_leases_and_falls_slowly() -> None:
    lead = LeadTime(min_us=5000, horizon_us=50_000)
    assert (lead.slot_us, lead.horizon_us, lead.request_us) == (5000, 50_000, 25_000)
    lead.observe(40_000)
    assert lead.slot_us == 80_000
    assert lead.horizon_us > lead.request_us > lead.slot_us
    for _ in range(200):
        lead.observe(1000)
    assert lead.slot_us == 5000


async def test_prepare_runs_before_the_slot(clock: Clock) -> None:
    sent_at: list[float] = []

    async def send(_: LeasedJob, __: float) -> None:
        sent_at.append(clock.now_s)

    async def connect() -> None:
        await asyncio.sleep(0.05)

    slots = [clock.now_s + 0.1, clock.now_s + 0.3]
    pacer = Pacer(send, grace_s=10, prepare=connect)
    pacer.add(jobs(0, 2), slots)
    assert await pacer.finish() == []
    assert sent_at == pytest.approx(slots, abs=1e-6), "the time that prepare took does not delay the request"


async def test_an_endless_flow_lets_the_event_loop_run_other_tasks(clock: Clock) -> None:
    turns = 0

    async def send(job: LeasedJob, _: float) -> None:
        sent.append(job.id)

    async def others() -> None:
        nonlocal turns
        while len(sent) < 1000:
            await asyncio.sleep(0)
            turns += 1

    sent: list[str] = []
    pacer = Pacer(send, grace_s=10)
    pacer.add(jobs(0, 1000), [clock.now_s] * 1000)
    await asyncio.gather(pacer.finish(), others())
    assert turns > 1000 / MAX_CONSECUTIVE_SENDS / 2


async def test_a_slot_at_which_nothing_may_be_sent_is_not_counted_as_late(clock: Clock) -> None:
    async def send(_: LeasedJob, __: float) -> None:
        raise AssertionError("nothing may be sent")

    now = clock.now_s
    pacer = Pacer(send, grace_s=0.5, may_send=lambda: False)
    pacer.add(jobs(0, 3), [now - 1, now, now + 0.01])
    assert [job.id for job in await pacer.finish()] == ["0", "1", "2"]
    assert pacer.late_slots == 1
