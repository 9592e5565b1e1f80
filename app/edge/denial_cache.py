"""The denial cache: who is known to be over a limit is told so from memory, until the next unit is free.

A counter only fills up: what others spend, live or drained, makes the next unit later, never earlier. So a refusal is
true until the wait that came with it ends. Two things free a unit earlier: a changed rule, which is another object in
the rule cache than the one that refused, whether a message named it or all were read again; and lost counters, for
which nothing is kept for longer than LONGEST_S.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from app.decision import RuleResult
from app.limiter import gcra
from app.limiter.algorithms import ALGORITHMS
from app.limiter.policy import Policy, QuotaState
from app.rules.match import Match

KEPT = 50_000
LONGEST_S = 1.0
STEP_S = 0.05
"""What is said of a quota is at most so old; for that long it is the same object."""

Denial = tuple[RuleResult, ...]


@dataclass(slots=True)
class _Kept:
    """A refusal as it was asked for; `now` is how it stands at `stands_at_s`."""

    results: Denial
    asked_at_s: float
    until_s: float
    stands_at_s: float = field(default=0.0)
    now: Denial = field(default=())


class DenialCache:
    """Bounded; the least recently used goes first. Only for requests all of whose rules enforce and reject."""

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        self._now_s = now_s
        self._kept: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()

    def of(self, matches: Sequence[Match], counters: tuple[str, ...]) -> Denial | None:
        """The refusal that these would be met with, as it stands now; None: the counters must be asked."""
        kept = self._kept.get(counters)
        if kept is None:
            return None
        now = self._now_s()
        if now >= kept.until_s or not _is_about(kept.results, matches):
            del self._kept[counters]
            return None
        self._kept.move_to_end(counters)
        if now - kept.stands_at_s >= STEP_S:
            kept.now, kept.stands_at_s = _aged(kept.results, now - kept.asked_at_s), now
        return kept.now

    def learn(self, results: Denial, counters: tuple[str, ...], asked_at_s: float) -> None:
        """Keep what the counters, asked at this time, said of a request, where it is such a refusal."""
        waits_s = [one.state.wait_us / 1e6 for one in results if one.state.refused]
        if not waits_s or not all(one.match.rule.rejects for one in results):
            return
        # Until the first of them would let it pass: from then on another one alone refuses, in other words.
        until_s = asked_at_s + min(LONGEST_S, *waits_s)
        self._kept[counters] = _Kept(results, asked_at_s, until_s, asked_at_s, results)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _is_about(results: Denial, matches: Sequence[Match]) -> bool:
    """Of the very same rules, as they were then."""
    for one, match in zip(results, matches, strict=True):  # noqa: SIM110 - a generator costs more than all the rest
        if one.match.rule is not match.rule:
            return False
    return True


def _aged(results: Denial, by_s: float) -> Denial:
    return tuple(RuleResult(one.match, aged(one.state, one.match.rule.policy, by_s * 1e6)) for one in results)


def aged(state: QuotaState, policy: Policy, by_us: float) -> QuotaState:
    """A quota's state some time later if nobody spends meanwhile; an algorithm may make only the times predictable."""
    reset_us = max(0, int(state.reset_us - by_us))
    remaining = state.remaining
    if ALGORITHMS[policy.algorithm].refills_evenly:
        remaining = max(remaining, gcra.remaining(reset_us, 0, policy.emission_interval_us, policy.burst))
    return state._replace(remaining=remaining, wait_us=max(0, int(state.wait_us - by_us)), reset_us=reset_us)
