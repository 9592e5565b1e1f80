"""LimitChecker: what the counters say of a request, or what each rule says where they are away."""

from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

from app.decision import RuleResult, charge_of, evaluate
from app.edge.denial_cache import Denial, DenialCache
from app.edge.metrics import EdgeMetrics
from app.edge.presence import Presence
from app.errors import CountersUnavailable
from app.limiter.limiter import Limiter
from app.limiter.local_limiter import LocalLimiter
from app.limiter.policy import Charge
from app.process.lru_cache import TwoGenerationLRUCache
from app.rules.match import Match

CACHE_SIZE = 20_000


class LimitCheck(NamedTuple):
    """What is asked of the counters where these rules apply. `defers`: one of them may; `shadows`: one is a shadow."""

    matches: tuple[Match, ...]
    charges: tuple[Charge, ...]
    counters: tuple[str, ...]
    defers: bool
    shadows: bool


class LimitChecker:
    """Asks the shared counters, unless the answer is known; without them each rule's `on_store_failure` decides."""

    def __init__(
        self, limiter: Limiter, local: LocalLimiter, presence: Presence, metrics: EdgeMetrics, denial_cache: DenialCache
    ) -> None:
        self._limiter = limiter
        self._local = local
        self._presence = presence
        self._metrics = metrics
        self._denials = denial_cache
        self._questions: TwoGenerationLRUCache[tuple[Match, ...], LimitCheck] = TwoGenerationLRUCache(CACHE_SIZE)

    def check(self, matches: tuple[Match, ...]) -> LimitCheck:
        """The same for the same rules."""
        known = self._questions.get(matches)
        if known is None:
            charges = tuple(map(charge_of, matches))
            counters = tuple(charge.counter for charge in charges)
            shadows = any(charge.shadow for charge in charges)
            known = LimitCheck(matches, charges, counters, any(match.rule.defers for match in matches), shadows)
            self._questions.put(matches, known)
        return known

    def cached_denial(self, check: LimitCheck) -> Denial | None:
        """What is known to be the counters' answer, where it is that the request is over a limit."""
        denial = self._denials.of(check.matches, check.counters)
        if denial is not None:
            self._metrics.denied_from_memory += 1
        return denial

    async def evaluate(self, check: LimitCheck) -> tuple[RuleResult, ...]:
        """Spends. Raises CountersUnavailable where the counters are away and a rule says `closed`."""
        matches, asked_at_s = check.matches, monotonic()
        if not matches:
            return ()
        try:
            results = evaluate(matches, await self._limiter.decide(check.charges))
        except CountersUnavailable:
            self._metrics.without_counters.inc()
            results = self._without_counters(matches)
        else:
            self._denials.learn(results, check.counters, asked_at_s)
        finally:
            self._metrics.decided_in_s.observe(monotonic() - asked_at_s)
        if check.shadows:
            self._count_shadows(results)
        return results

    def _count_shadows(self, results: Sequence[RuleResult]) -> None:
        for one in results:
            if one.state.refused and one.match.rule.shadow:
                self._metrics.shadow_refusals.labels(one.match.rule.rule_id).inc()

    def _without_counters(self, matches: Sequence[Match]) -> tuple[RuleResult, ...]:
        forms = {match.rule.on_store_failure for match in matches if not match.rule.shadow}
        if "closed" in forms:
            raise CountersUnavailable("The counters are away, and a rule allows nothing without them.")
        local = [match for match in matches if match.rule.on_store_failure == "local"]
        verdict = self._local.decide([charge_of(match) for match in local], self._presence.edges)
        return evaluate(local, verdict)
