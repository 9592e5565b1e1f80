"""However many ask for the status or watch it, it is gathered once a second, and only while somebody does."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from app.admin.operators import Operator, Role
from app.admin.services import status as module
from app.admin.services import status_history
from app.admin.services.status import StatusService
from app.admin.services.status_model import (
    DECISIONS,
    BacklogStatus,
    DrainStatus,
    FlowsStatus,
    RateStatus,
    RulesStatus,
    Status,
)
from app.errors import TooManyRequests

VIEWER = Operator("vera", Role.VIEWER)


def a_status(at: str, version: int = 1) -> Status:
    return Status(
        at=at,
        problems=[],
        rates=RateStatus(decisions=dict.fromkeys(DECISIONS, 12345.678), attempts=12345.678),
        decision_latency=None,
        backlog=BacklogStatus(
            jobs=1_000_000, oldest_age_seconds=123_456.789, retrying=0, dead_letters=1_000_000, recent_dead_letters=0
        ),
        flows=FlowsStatus(total=0, held=0, paused=None, as_of=None),
        drain=DrainStatus(permitted_per_second=12345.678, actual_per_second=12345.678),
        rules=RulesStatus(version=version, sync_lag_seconds=None, invalid_documents=None, paused=None),
        processes=[],
        app_servers=[],
        stores=[],
    )


class Gathering:
    def __init__(self) -> None:
        self.count = 0

    async def gather(self) -> Status:
        self.count += 1
        await asyncio.sleep(0.01)
        return a_status(str(self.count), self.count)


@pytest.fixture
def gathering() -> Gathering:
    return Gathering()


@pytest.fixture
def closing() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture(autouse=True)
def interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHERING_INTERVAL_S", 0.1)


async def versions(watched: AsyncIterator[module.StatusSnapshot], count: int) -> list[int]:
    found: list[int] = []
    async for snapshot in watched:
        found.append(snapshot.status.rules.version or 0)
        if len(found) == count:
            break
    return found


async def test_many_viewers_cost_what_one_costs(
    gathering: Gathering, closing: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = StatusService(gathering.gather, closing)
    watched = [service.watch(VIEWER) for _ in range(50)]
    begun_s = time.monotonic()
    seen = await asyncio.gather(*(versions(one, 3) for one in watched))
    with monkeypatch.context() as patch:
        patch.setattr(module, "GATHERING_INTERVAL_S", 60.0)  # so that they ask within one
        asked = await asyncio.gather(*(service.status(VIEWER) for _ in range(50)))
    assert all(one == sorted(set(one)) and one[0] == 1 for one in seen), "each viewer sees later and later ones"
    assert len({status.rules.version for status in asked}) == 1
    assert 3 <= gathering.count <= 2 + (time.monotonic() - begun_s) / module.GATHERING_INTERVAL_S
    for one in watched:
        await one.aclose()
    assert service.viewers == 0


async def test_nothing_is_gathered_while_nobody_watches(gathering: Gathering, closing: asyncio.Event) -> None:
    service = StatusService(gathering.gather, closing)
    watched = service.watch(VIEWER)
    await anext(watched)
    await watched.aclose()
    await asyncio.sleep(0.3)
    assert gathering.count == 1


async def test_a_slow_viewer_misses_what_comes_meanwhile(gathering: Gathering, closing: asyncio.Event) -> None:
    service = StatusService(gathering.gather, closing)
    slow, quick = service.watch(VIEWER), service.watch(VIEWER)
    assert (await anext(slow)).status.rules.version == 1
    await versions(quick, 5)
    gathered = gathering.count
    assert ((await anext(slow)).status.rules.version or 0) >= gathered >= 5
    for one in (slow, quick):
        await one.aclose()


async def test_as_many_watch_as_may(gathering: Gathering, closing: asyncio.Event) -> None:
    service = StatusService(gathering.gather, closing, max_viewers=2)
    watched = [service.watch(VIEWER) for _ in range(3)]
    for one in watched[:2]:
        await anext(one)
    with pytest.raises(TooManyRequests):
        await anext(watched[2])
    await watched[0].aclose()
    another = service.watch(VIEWER)
    await anext(another)
    for one in (another, watched[1]):
        await one.aclose()


async def test_watching_ends_with_the_token_and_with_the_process(gathering: Gathering, closing: asyncio.Event) -> None:
    service = StatusService(gathering.gather, closing)
    expires = Operator("vera", Role.VIEWER, expires_at_s=time.time() + 0.25)
    assert 1 <= len(await versions(service.watch(expires), 100)) <= 3
    watched = service.watch(VIEWER)
    await anext(watched)
    closing.set()
    async with asyncio.timeout(5):
        assert [snapshot async for snapshot in watched] == []
    assert service.viewers == 0


async def test_who_leaves_ends_nobody_elses_gathering(gathering: Gathering, closing: asyncio.Event) -> None:
    service = StatusService(gathering.gather, closing)
    first, second = asyncio.create_task(service.status(VIEWER)), asyncio.create_task(service.status(VIEWER))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).rules.version == 1


async def test_the_history_has_each_status_once_and_the_last_ten_minutes(
    gathering: Gathering, closing: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = StatusService(gathering.gather, closing)
    assert service.history(VIEWER).samples == []
    watched = [service.watch(VIEWER) for _ in range(3)]
    await asyncio.gather(*(versions(one, 3) for one in watched))
    kept = [sample.at for sample in service.history(VIEWER).samples]
    assert kept == [str(number) for number in range(1, gathering.count + 1)]
    for one in watched:
        await one.aclose()
    monkeypatch.setattr(status_history, "HISTORY_S", -1.0)
    assert service.history(VIEWER).samples == []


def test_the_history_is_bounded() -> None:
    samples = status_history.StatusSamples()
    status = a_status("2026-11-27T19:00:00.000Z")
    for _ in range(status_history.MAX_SAMPLES + 5):
        samples.add(status)
    history = samples.history()
    assert len(history.samples) == status_history.MAX_SAMPLES
    assert len(history.model_dump_json()) < 200_000
