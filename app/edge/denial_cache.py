"""The denial cache: refuses from memory the requests that the counters would refuse until their next unit is free.

What others spend, live or drained, makes the next unit later and never earlier, so a refusal holds until the wait that
came with it ends. There are three exceptions. A changed rule is another object than the rule that refused, and the
cache compares them. Lost counters forget what was spent, so nothing is kept for longer than MAX_AGE_S. Answers that
state what their requests have cost may give units back, so nothing is kept where a rule lets them.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from app.decision import RuleResult
from app.limiter import gcra
from app.limiter.algorithms import ALGORITHMS
from app.limiter.policy import Policy, QuotaState
from app.rules.match import Match

MAX_DENIALS = 50_000
MAX_AGE_S = 1.0
REFRESH_INTERVAL_S = 0.05
"""The waits in a denial are at most so old; for that long `get` returns the same object."""

Denial = tuple[RuleResult, ...]


@dataclass(slots=True)
class _Entry:
    """A denial as the counters gave it at `decided_at_s`, and as it is at `aged_at_s`."""

    results: Denial
    decided_at_s: float
    until_s: float
    aged_at_s: float
    aged: Denial


class DenialCache:
    """Denials of requests all of whose rules reject; evicts the least recently used.

    The key of a denial names the counters and, where requests state what they cost, these costs: a request is refused
    because one of the same cost was, and not because a dearer one was.
    """

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        self._now_s = now_s
        self._entries: OrderedDict[tuple[str, ...], _Entry] = OrderedDict()

    def get(self, matches: Sequence[Match], key: tuple[str, ...]) -> Denial | None:
        """The refusal that the counters would give now; None if they must decide."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        now = self._now_s()
        if now >= entry.until_s or not _has_rules_of(entry.results, matches):
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        if now - entry.aged_at_s >= REFRESH_INTERVAL_S:
            entry.aged, entry.aged_at_s = _aged(entry.results, now - entry.decided_at_s), now
        return entry.aged

    def remember(self, results: Denial, key: tuple[str, ...], decided_at_s: float) -> None:
        """Keep these results of the counters if they are such a refusal; `decided_at_s` is when they were asked."""
        waits_s = [one.wait_us / 1e6 for one in results if one.state.refused]
        if min(waits_s, default=0) <= 0 or not all(
            one.match.rule.rejects and one.match.rule.stated_in is None for one in results
        ):
            return
        # Until the first of the refusing rules allows it: from then on the refusal names fewer rules.
        until_s = decided_at_s + min(MAX_AGE_S, *waits_s)
        self._entries[key] = _Entry(results, decided_at_s, until_s, decided_at_s, results)
        if len(self._entries) > MAX_DENIALS:
            self._entries.popitem(last=False)


def _has_rules_of(results: Denial, matches: Sequence[Match]) -> bool:
    """Whether the results come from the very same versions of these rules."""
    for one, match in zip(results, matches, strict=True):  # noqa: SIM110 - a generator would cost more than the rest of `get`
        if one.match.rule is not match.rule:
            return False
    return True


def _aged(results: Denial, by_s: float) -> Denial:
    return tuple(RuleResult(one.match, one.policy, aged(one.state, one.policy, by_s * 1e6)) for one in results)


def aged(state: QuotaState, policy: Policy, by_us: float) -> QuotaState:
    """A quota's state some time later if nobody spends meanwhile; an algorithm may make only the times predictable."""
    reset_us = max(0, int(state.reset_us - by_us))
    remaining = state.remaining
    if ALGORITHMS[policy.algorithm].refills_evenly:
        remaining = max(remaining, gcra.remaining(reset_us, 0, policy.emission_interval_us, policy.burst))
    return state._replace(remaining=remaining, wait_us=max(0, int(state.wait_us - by_us)), reset_us=reset_us)
