"""Judging: what the counters say of a request, or what each rule says where they are away."""

from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

from app.decision import Judged, charge_of, defers, judge
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


class Question(NamedTuple):
    """What is asked of the counters where these rules apply. `defers`: one of them may; `shadows`: one is a shadow."""

    matches: tuple[Match, ...]
    charges: tuple[Charge, ...]
    counters: tuple[str, ...]
    defers: bool
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
        self._questions: Recent[tuple[Match, ...], Question] = Recent(REMEMBERED)

    def question(self, matches: tuple[Match, ...]) -> Question:
        """The same for the same rules."""
        known = self._questions.get(matches)
        if known is None:
            charges = tuple(map(charge_of, matches))
            counters = tuple(charge.counter for charge in charges)
            shadows = any(charge.shadow for charge in charges)
            known = Question(matches, charges, counters, any(map(defers, matches)), shadows)
            self._questions.put(matches, known)
        return known

    def denied(self, question: Question) -> Denial | None:
        """What is known to be the counters' answer, where it is that the request is over a limit."""
        denial = self._denials.of(question.matches, question.counters)
        if denial is not None:
            self._metrics.denied_from_memory += 1
        return denial

    async def judge(self, question: Question) -> tuple[Judged, ...]:
        """Spends. Raises CountersUnavailable where the counters are away and a rule says `closed`."""
        matches, asked_at_s = question.matches, monotonic()
        if not matches:
            return ()
        try:
            judged = judge(matches, await self._limiter.decide(question.charges))
        except CountersUnavailable:
            self._metrics.without_counters.inc()
            judged = self._without_counters(matches)
        else:
            self._denials.learn(judged, question.counters, asked_at_s)
        finally:
            self._metrics.decided_in_s.observe(monotonic() - asked_at_s)
        if question.shadows:
            self._count_shadows(judged)
        return judged

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
