"""Quotas of a unit a year may owe for longer than the numbers of clocks have digits: they count all the same."""

import pytest

from app.clients import counter_scripts
from app.limiter.keys import live_counter
from app.limiter.policy import Charge, Policy
from app.limiter.redis_limiter import RedisLimiter
from app.rules.bounds import DAY_S
from app.settings import Settings

YEAR_S = 366 * DAY_S
BURST = 1000


def charge(*, revision: int, limit: int = 1) -> Charge:
    return Charge(live_counter("r", "user:alice"), Policy(limit, YEAR_S, BURST, revision))


@pytest.mark.parametrize("by_workers", [False, True], ids=["live", "by_workers"])
async def test_a_debt_of_a_thousand_years(settings: Settings, by_workers: bool) -> None:
    scripts = counter_scripts(settings, 5000)
    limiter = RedisLimiter(scripts)
    try:
        one = charge(revision=1)
        if by_workers:
            granted = [await limiter.acquire((one,), 400, 1000, 0, "", 0, 1) for _ in range(3)]
            assert [len(slots.waits_us) for slots in granted] == [400, 400, 200]
            assert granted[-1].next_wait_us == pytest.approx(YEAR_S * 1e6, rel=1e-3)
        else:
            verdicts = [await limiter.decide((one,)) for _ in range(BURST)]
            assert all(verdict.allowed for verdict in verdicts)
            remaining = [verdict.states[0].remaining for verdict in verdicts]
            assert remaining == sorted(remaining, reverse=True)
        refused = await limiter.decide((one,))
        assert not refused.allowed
        assert refused.states[0].wait_us == pytest.approx(YEAR_S * 1e6, rel=1e-3)
        assert refused.states[0].reset_us == pytest.approx(BURST * YEAR_S * 1e6, rel=1e-3)
        # What is owed is converted: a thousand units still, each of them a thousandth as long.
        raised = await limiter.decide((charge(revision=2, limit=1000),))
        assert not raised.allowed
        assert raised.states[0].reset_us == pytest.approx(YEAR_S * 1e6, rel=1e-2)
    finally:
        await scripts.aclose()
