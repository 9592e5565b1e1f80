"""The overview of flows: rates from two looks, and what it does while the queue Redis is away."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from app.admin.flow_metrics import FlowMetrics
from app.admin.services import flow_index
from app.admin.services.flow_index import FlowIndex, IndexedFlow
from app.admin.services.flows_model import FlowOrder, ListedState
from app.errors import QueueUnavailable
from app.queue.flow_views import FlowCounts, FlowPageScan


def counts(
    name: str = "r|user:u",
    depth: int = 1,
    ended: int = 0,
    oldest_ms: int = 1,
    hold_until_s: float = 0.0,
    *,
    parked: bool = False,
) -> FlowCounts:
    return FlowCounts(name, depth, depth, 0, 100, ended, oldest_ms, hold_until_s, parked)


def test_a_rate_is_what_has_ended_since_about_ten_seconds_ago() -> None:
    flow = IndexedFlow(counts(ended=100), 0.0)
    for second in range(1, 31):
        flow.see(counts(ended=100 + 4 * second), float(second))
    found = flow.rate(counts(ended=100 + 4 * 31), 31.0)
    assert found is not None
    rate, over_s = found
    assert rate == pytest.approx(4.0)
    assert 5.0 <= over_s <= 11.0


def test_a_flow_that_was_just_seen_has_no_rate_yet() -> None:
    assert IndexedFlow(counts(ended=7), 10.0).rate(counts(ended=7), 10.5) is None


def test_a_flow_that_was_empty_meanwhile_counts_anew() -> None:
    flow = IndexedFlow(counts(ended=1000), 0.0)
    flow.see(counts(ended=0), 6.0)
    assert flow.rate(counts(ended=8), 8.0) == (4.0, 2.0)
    assert IndexedFlow(counts(ended=1000), 0.0).rate(counts(ended=3), 9.0) is None


class FakeViews:
    """Pages of flows; each is given once, and an error is raised."""

    partitions = 1

    def __init__(self, pages: Sequence[list[FlowCounts] | QueueUnavailable]) -> None:
        self._pages = list(pages)

    async def scan(self, _: int, cursor: bytes) -> FlowPageScan:
        await asyncio.sleep(0)
        page = self._pages.pop(0) if self._pages else []
        if isinstance(page, QueueUnavailable):
            raise page
        following = str(int(cursor) + 1).encode() if self._pages else None
        return FlowPageScan(following, 1.0, page)


async def seen(views: FakeViews) -> FlowIndex:
    index = FlowIndex(views)  # type: ignore[arg-type] # the same methods, over pages that a test gives
    running = asyncio.create_task(index.run())
    await index.look()
    running.cancel()
    return index


async def test_more_flows_than_are_kept_make_it_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_index, "MAX_FLOWS", 3)
    index = await seen(FakeViews([[counts(f"r|user:{number}") for number in range(5)]]))
    snapshot = index.snapshot(FlowOrder.DEPTH, None, None)
    assert (len(snapshot.flows), snapshot.complete) == (3, False)


async def test_a_flow_that_comes_on_two_pages_is_there_once() -> None:
    index = await seen(FakeViews([[counts("r|user:a"), counts("r|user:b")], [counts("r|user:a", depth=9)]]))
    flows = index.snapshot(FlowOrder.DEPTH, None, None).flows
    assert [(flow.counts.flow, flow.counts.depth) for flow in flows] == [("r|user:a", 9), ("r|user:b", 1)]


@pytest.mark.parametrize(
    ("descriptor", "names"),
    [
        ("user:a", ["r|user:a", "r|ip:x>user:a"]),
        ("ip:x", ["r|user:b;s|ip:x", "r|ip:x>user:a"]),
        ("user:", []),
        (".*", []),
    ],
)
async def test_flows_are_found_by_every_descriptor_in_their_names(descriptor: str, names: list[str]) -> None:
    every = ["r|user:a", "r|user:b;s|ip:x", "r|ip:x>user:a", "r|user:ab"]
    index = await seen(FakeViews([[counts(name) for name in every]]))
    found = index.snapshot(FlowOrder.RULE, None, descriptor).flows
    assert [flow.counts.flow for flow in found] == names


async def test_flows_are_found_by_what_holds_them_back() -> None:
    now_s = time.time()
    held = counts("r|user:held", hold_until_s=now_s + 60)
    both = counts("r|user:both", hold_until_s=now_s + 60, parked=True)
    past = counts("r|user:past", hold_until_s=0.5)  # pages are as of 1.0
    index = await seen(FakeViews([[held, both, past, counts("r|user:parked", parked=True), counts("s|ip:x>user:set")]]))

    def names(state: ListedState, *paused: str) -> list[str]:
        found = index.snapshot(FlowOrder.RULE, None, None, state, frozenset(paused)).flows
        return [flow.descriptor if flow.rule_id == "s" else flow.descriptor.removeprefix("user:") for flow in found]

    assert names("held") == ["held"]
    assert names("paused") == ["both", "parked"]
    assert names("paused", "s|user:set", "r|user:gone") == ["both", "parked", "ip:x"]
    assert (index.total, index.held) == (5, 1)  # a paused flow is not counted as held, too


async def test_it_shows_what_it_had_while_the_queue_is_away() -> None:
    views = FakeViews([QueueUnavailable("away")])
    index = FlowIndex(views)  # type: ignore[arg-type]
    index._flows = {"r|user:a": IndexedFlow(counts("r|user:a"), 0.0)}
    running = asyncio.create_task(index.run())
    await asyncio.sleep(0.05)
    assert not running.done()
    assert len(index.snapshot(FlowOrder.AGE, None, None).flows) == 1
    running.cancel()


async def test_what_waits_is_summed_by_rule_and_a_flow_that_comes_twice_counts_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flow_index, "MAX_RULES", 2)
    named = ["a|user:1", "a|user:2", "b|user:1", "c|user:1", "d|user:1"]
    pages = [[counts(name, depth=3, oldest_ms=5 + at) for at, name in enumerate(named)], [counts("a|user:1", depth=3)]]
    index = await seen(FakeViews(pages))
    shown = {name: (of.flows, of.waiting, of.oldest_ms) for name, of in index.totals.items()}
    assert shown == {"a": (2, 6, 5), "b": (1, 3, 7), "other": (2, 6, 8)}
    registry = CollectorRegistry()
    FlowMetrics(registry, index)
    assert registry.get_sample_value("penstock_queue_depth", {"rule_id": "other"}) == 6
    assert registry.get_sample_value("penstock_queue_jobs", {"rule_id": "a", "status": "queued"}) == 6
    assert registry.get_sample_value("penstock_queue_jobs", {"rule_id": "a", "status": "running"}) == 0
    age_s = registry.get_sample_value("penstock_queue_oldest_age_seconds", {"rule_id": "b"})
    assert age_s == pytest.approx(time.time() - 0.007, abs=60)
    assert registry.get_sample_value("penstock_queue_seen_at_seconds") == pytest.approx(index.as_of_s)


async def test_snapshots_are_forgotten_before_they_take_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_index, "MAX_SNAPSHOTS", 2)
    index = await seen(FakeViews([[counts()]]))
    kept = [index.snapshot(FlowOrder.DEPTH, rule_id, None) for rule_id in ("a", "b", "c")]
    assert [index.kept_snapshot(one.id) is not None for one in kept].count(True) == 2
