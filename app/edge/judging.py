"""Judging: what the counters say of a request, or what each rule says where they are away."""

from collections.abc import Sequence

from app.decision import Judged, charge_of, judge
from app.edge.metrics import Metrics
from app.edge.presence import Presence
from app.errors import CountersUnavailable
from app.limiter.local_limiter import LocalLimiter
from app.limiter.prompt import PromptLimiter
from app.rules.match import Match


class Judging:
    """Asks the shared counters; without them each rule's `on_store_failure` decides."""

    def __init__(self, limiter: PromptLimiter, local: LocalLimiter, presence: Presence, metrics: Metrics) -> None:
        self._limiter = limiter
        self._local = local
        self._presence = presence
        self._metrics = metrics

    async def judge(self, matches: Sequence[Match]) -> tuple[Judged, ...]:
        """Spends. Raises CountersUnavailable where the counters are away and a rule says `closed`."""
        if not matches:
            return ()
        try:
            with self._metrics.decision_s.time():
                judged = judge(matches, await self._limiter.decide([charge_of(match) for match in matches]))
        except CountersUnavailable:
            self._metrics.without_counters.inc()
            judged = self._without_counters(matches)
        for one in judged:
            if one.match.rule.rule.shadow and one.state.refused:
                self._metrics.shadow_refusals.labels(one.match.rule.rule_id).inc()
        return judged

    def _without_counters(self, matches: Sequence[Match]) -> tuple[Judged, ...]:
        forms = {match.rule.rule.on_store_failure for match in matches if not match.rule.rule.shadow}
        if "closed" in forms:
            raise CountersUnavailable("The counters are away, and a rule allows nothing without them.")
        local = [match for match in matches if match.rule.rule.on_store_failure == "local"]
        verdict = self._local.decide([charge_of(match) for match in local], self._presence.edges)
        return judge(local, verdict)
