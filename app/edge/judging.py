"""Judging: what the counters say of a request, or what each rule says where they are away."""

from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

from app.decision import Judged, charge_of, judge
from app.edge.denials import Denial, Denials
from app.edge.metrics import Metrics
from app.edge.presence import Presence
from app.errors import CountersUnavailable
from app.limiter.limiter import Limiter
from app.limiter.local_limiter import LocalLimiter
from app.limiter.policy import Charge
from app.recent import Recent
from app.rules.match import Match

REMEMBERED = 20_000


class _Asked(NamedTuple):
    """What is asked of the counters where these rules apply."""

    charges: tuple[Charge, ...]
    counters: tuple[str, ...]
    shadows: bool


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
        self._asked: Recent[tuple[Match, ...], _Asked] = Recent(REMEMBERED)

    def denied(self, matches: tuple[Match, ...]) -> Denial | None:
        """What is known to be the counters' answer, where it is that the request is over a limit."""
        denial = self._denials.of(matches, self._asking(matches).counters)
        if denial is not None:
            self._metrics.denied_from_memory.inc()
        return denial

    async def judge(self, matches: tuple[Match, ...]) -> tuple[Judged, ...]:
        """Spends. Raises CountersUnavailable where the counters are away and a rule says `closed`."""
        if not matches:
            return ()
        asking, asked_at_s = self._asking(matches), monotonic()
        try:
            judged = judge(matches, await self._limiter.decide(asking.charges))
        except CountersUnavailable:
            self._metrics.without_counters.inc()
            judged = self._without_counters(matches)
        else:
            self._denials.learn(judged, asking.counters, asked_at_s)
        finally:
            self._metrics.decision_s.observe(monotonic() - asked_at_s)
        if asking.shadows:
            self._count_shadows(judged)
        return judged

    def _asking(self, matches: tuple[Match, ...]) -> _Asked:
        known = self._asked.get(matches)
        if known is None:
            charges = tuple(map(charge_of, matches))
            counters = tuple(charge.counter for charge in charges)
            known = _Asked(charges, counters, any(charge.shadow for charge in charges))
            self._asked.put(matches, known)
        return known

    def _count_shadows(self, judged: Sequence[Judged]) -> None:
        for one in judged:
            if one.state.refused and one.match.rule.rule.shadow:
                self._metrics.shadow_refusals.labels(one.match.rule.rule_id).inc()

    def _without_counters(self, matches: Sequence[Match]) -> tuple[Judged, ...]:
        forms = {match.rule.rule.on_store_failure for match in matches if not match.rule.rule.shadow}
        if "closed" in forms:
            raise CountersUnavailable("The counters are away, and a rule allows nothing without them.")
        local = [match for match in matches if match.rule.rule.on_store_failure == "local"]
        verdict = self._local.decide([charge_of(match) for match in local], self._presence.edges)
        return judge(local, verdict)
