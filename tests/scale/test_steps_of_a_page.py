"""A page of a hundred jobs is made in many short steps, between which an edge serves others."""

import asyncio
import time
from asyncio import events
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis.asyncio import Redis

from app.jobs.model import StoredRequest, owner_of
from app.limiter.keys import descriptor
from app.queue.flows import Flows
from app.queue.model import Deferral, FrozenCharge
from app.rules.active import ActiveRule
from app.rules.model import parse_rule
from app.settings import Settings
from tests.support.edge_in_process import edge_running
from tests.support.rules import RULE

JOBS = 200
PAGE = 100
MOST_PAGES = 50
"""What other processes do makes single steps longer: the page whose steps are the most even counts."""
MOST_OF_A_PAGE = 0.15
"""The longest step as a share of all steps. It is a tenth; it would be a fifth if all jobs were read in one step."""


@pytest.mark.plain  # what runs each step of asyncio's own event loop can be replaced; a compiled edge is faster
@pytest.mark.alone
async def test_no_step_of_a_page_is_long(
    settings: Settings, cache: Redis, flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = ActiveRule(parse_rule(RULE | {"rule_id": "r"}), 1)
    charges = (FrozenCharge("r", descriptor("user", "ann"), 1),)
    deferral = Deferral(rule, charges, owner_of("test", "ann"), StoredRequest("POST", b"/", [], b"x" * 400))
    await asyncio.gather(*(flows.enqueue(deferral) for _ in range(JOBS)))
    shares: list[float] = []
    async with edge_running(settings, cache, poll_limit_per_s=1000) as edge:  # a page counts as ten polls
        token = edge.bearer("ann")
        await edge.get("/_penstock/jobs", token)  # what is done once is done now
        while len(shares) < MOST_PAGES and min(shares, default=1.0) >= MOST_OF_A_PAGE:
            with _steps_timed(monkeypatch) as steps_s:
                page = (await edge.get(f"/_penstock/jobs?limit={PAGE}", token)).json()
            assert len(page["jobs"]) == PAGE
            shares.append(max(steps_s) / sum(steps_s))
    assert min(shares) < MOST_OF_A_PAGE


@contextmanager
def _steps_timed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The CPU seconds of each callback that the event loop runs meanwhile."""
    steps_s: list[float] = []
    run = events.Handle._run

    def timed(handle: events.Handle) -> None:
        start_s = time.thread_time()
        run(handle)
        steps_s.append(time.thread_time() - start_s)

    with monkeypatch.context() as patch:
        patch.setattr(events.Handle, "_run", timed)
        yield steps_s
