"""A pacer sends in order, uses no slot late, and hands back what it could not send."""

import asyncio
import time

from app.jobs.model import StoredRequest
from app.queue.model import LeasedJob
from consumers.lead_time import LeadTime
from consumers.pacing import MOST_IN_A_ROW, Pacer

REQUEST = StoredRequest("GET", b"/", [], b"")


def jobs(first: int, count: int) -> list[LeasedJob]:
    return [LeasedJob(str(number), "lease", 1, 5, REQUEST) for number in range(first, first + count)]


async def test_each_at_its_slot_in_order() -> None:
    loop, sent = asyncio.get_running_loop(), []

    async def send(job: LeasedJob, slot: float) -> None:
        sent.append((job.id, slot, loop.time() - slot))

    start = loop.time() + 0.02
    pacer = Pacer(send, grace_s=10)
    pacer.add(jobs(0, 3), [start, start + 0.01, start + 0.02])
    pacer.add(jobs(3, 2), [start + 0.03, start + 0.04])
    assert await pacer.finish() == []
    assert [job for job, _, _ in sent] == ["0", "1", "2", "3", "4"]
    assert all(late >= 0 for _, _, late in sent), "never before its slot"


async def test_a_missed_slot_is_given_up_and_order_kept() -> None:
    loop, sent = asyncio.get_running_loop(), []

    async def send(job: LeasedJob, slot: float) -> None:
        sent.append((job.id, slot))

    now = loop.time()
    later = now + 0.05
    pacer = Pacer(send, grace_s=0.02)
    pacer.add(jobs(0, 3), [now - 1, now - 0.5, later])
    left = await pacer.finish()
    assert sent == [("0", later)], "the first job takes the first slot that was not missed"
    assert [job.id for job in left] == ["1", "2"]


async def test_what_was_left_takes_the_next_slots() -> None:
    loop, sent = asyncio.get_running_loop(), []

    async def send(job: LeasedJob, _: float) -> None:
        sent.append(job.id)

    pacer = Pacer(send, grace_s=0.5)
    pacer.add(jobs(0, 1), [loop.time() - 1])
    await asyncio.sleep(0.01)
    pacer.add(jobs(1, 1), [loop.time()])
    assert [job.id for job in await pacer.finish()] == ["1"]
    assert sent == ["0"]


async def test_a_slow_send_holds_back_the_next() -> None:
    loop, sent = asyncio.get_running_loop(), []

    async def send(job: LeasedJob, _: float) -> None:
        sent.append((job.id, "begun"))
        await asyncio.sleep(0.05)
        sent.append((job.id, "on its way"))

    now = loop.time()
    pacer = Pacer(send, grace_s=10)
    pacer.add(jobs(0, 2), [now, now])
    await pacer.finish()
    assert sent == [("0", "begun"), ("0", "on its way"), ("1", "begun"), ("1", "on its way")]


def test_the_lead_follows_slow_leases_up_at_once_and_down_slowly() -> None:
    lead = LeadTime(least_us=5000, horizon_us=50_000)
    assert (lead.slot_us, lead.horizon_us, lead.ask_us) == (5000, 50_000, 25_000)
    lead.observe(40_000)
    assert lead.slot_us == 80_000
    assert lead.horizon_us > lead.ask_us > lead.slot_us
    for _ in range(200):
        lead.observe(1000)
    assert lead.slot_us == 5000


async def test_what_takes_time_is_done_before_the_slot() -> None:
    late: list[float] = []

    async def send(_: LeasedJob, slot: float) -> None:
        late.append(time.monotonic() - slot)

    async def connect() -> None:
        await asyncio.sleep(0.05)

    start = time.monotonic() + 0.1
    pacer = Pacer(send, grace_s=10, prepare=connect)
    pacer.add(jobs(0, 2), [start, start + 0.2])
    assert await pacer.finish() == []
    assert len(late) == 2
    assert min(late) >= 0, "never before its slot"
    assert min(late) < 0.05, "and not so much after it as it took"


async def test_a_flow_without_end_lets_the_loop_do_other_things() -> None:
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
    pacer.add(jobs(0, 1000), [time.monotonic()] * 1000)
    await asyncio.gather(pacer.finish(), others())
    assert turns > 1000 / MOST_IN_A_ROW / 2
