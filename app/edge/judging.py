"""Judging: what the counters say of a request, or what each rule says where they are away."""

from collections.abc import Sequence
from time import monotonic

from app.decision import Judged, charge_of, judge
from app.edge.denials import Denials
from app.edge.metrics import Metrics
from app.edge.presence import Presence
from app.errors import CountersUnavailable
from app.limiter.limiter import Limiter
from app.limiter.local_limiter import LocalLimiter
from app.limiter.policy import Charge
from app.recent import Recent
from app.rules.active import ActiveRule
from app.rules.match import Match

REMEMBERED = 20_000


class Judging:
    """Asks the shared counters, unless the answer is known; without them each rule's `on_store_failure` decides."""

    def __init__(
        self, limiter: Limiter, local: LocalLimiter, presence: Presence, metrics: Metrics, denials: Denials
    ) -> None:
        self._limiter = limiter
        self._local = local
        self._presence = presence
        self._metrics = metrics
        self._denials = denials
        self._charges: Recent[tuple[str, str], tuple[ActiveRule, Charge]] = Recent(REMEMBERED)

    async def judge(self, matches: Sequence[Match]) -> tuple[Judged, ...]:
        """Spends. Raises CountersUnavailable where the counters are away and a rule says `closed`."""
        if not matches:
            return ()
        charges = [self._charge(match) for match in matches]
        counters = tuple([charge.counter for charge in charges])
        denial = self._denials.of(matches, counters)
        if denial is not None:
            self._metrics.denied_from_memory.inc()
            return denial
        asked_at_s = monotonic()
        try:
            judged = judge(matches, await self._limiter.decide(charges))
        except CountersUnavailable:
            self._metrics.without_counters.inc()
            judged = self._without_counters(matches)
        else:
            self._denials.learn(judged, counters, asked_at_s)
        finally:
            self._metrics.decision_s.observe(monotonic() - asked_at_s)
        for one in judged:
            if one.state.refused and one.match.rule.rule.shadow:
                self._metrics.shadow_refusals.labels(one.match.rule.rule_id).inc()
        return judged

    def _charge(self, match: Match) -> Charge:
        """The same object for the same rule and descriptor, so that it is packed once."""
        key = (match.rule.rule_id, match.descriptor)
        known = self._charges.get(key)
        if known is not None and known[0] is match.rule:
            return known[1]
        charge = charge_of(match)
        self._charges.put(key, (match.rule, charge))
        return charge

    def _without_counters(self, matches: Sequence[Match]) -> tuple[Judged, ...]:
        forms = {match.rule.rule.on_store_failure for match in matches if not match.rule.rule.shadow}
        if "closed" in forms:
            raise CountersUnavailable("The counters are away, and a rule allows nothing without them.")
        local = [match for match in matches if match.rule.rule.on_store_failure == "local"]
        verdict = self._local.decide([charge_of(match) for match in local], self._presence.edges)
        return judge(local, verdict)
