"""Checks a request against its limits: at the denial cache, the shared counters, or without them as each rule says."""

from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

from app.decision import Quotas, RuleResult, evaluate, quotas_of
from app.edge.denial_cache import Denial, DenialCache
from app.edge.heartbeat import EdgeHeartbeat
from app.edge.metrics import EdgeMetrics
from app.edge.rule_decisions import DecisionsByRule, RuleDecisions
from app.errors import CountersUnavailable
from app.limiter.answer_cost import AnswerCost, hidden_headers
from app.limiter.corrections import Corrections
from app.limiter.limiter import Limiter
from app.limiter.local_limiter import LocalLimiter
from app.limiter.policy import Charge
from app.process.lru_cache import TwoGenerationLRUCache
from app.rules.active import ActiveRule
from app.rules.cost import StatedCosts, stated_costs, with_costs
from app.rules.match import Match
from app.traffic.samples import SampledCaller, sampled_callers
from app.web.headers import Headers

MAX_CACHE_SIZE = 20_000

Priced = tuple[tuple[Match, ...], StatedCosts]
"""The rules that apply to a request, and what it states that it costs."""


class LimitCheck(NamedTuple):
    """What to check where these rules apply; `matches` are those that have a quota.

    `defers`: one of them defers; `always_defers`: whatever its quota says; `shadows`: one of them is a shadow rule.
    `enforced`: a rule applies that is none. `blocking`: the rules that block the request, shadow rules last.
    `request_states_cost`, `answer_states_cost`: whether one of them lets the request, or the answer, state what it
    costs. `key`: names the counters, and what is stated. `place_counters`: those at which the request has a place while
    it is in flight. `callers`: whom each of the rules counts, for the samples of traffic. `decisions`: the counters of
    the decisions of the rules that are enforced.
    """

    matches: tuple[Match, ...]
    quotas: Quotas
    key: tuple[str, ...]
    defers: bool
    always_defers: bool
    shadows: bool
    enforced: bool
    blocking: tuple[ActiveRule, ...]
    request_states_cost: bool
    answer_states_cost: bool
    place_counters: tuple[str, ...]
    callers: tuple[SampledCaller, ...]
    decisions: tuple[RuleDecisions, ...]


class LimitChecker:
    """Decides by the shared counters; while they can't be reached, by each rule's `on_store_failure`.

    `callers`: for how many callers the rules are kept in memory. A check is found again by the very matches that it is
    for, so checks of more callers would be of no use.
    """

    def __init__(
        self,
        limiter: Limiter,
        local: LocalLimiter,
        heartbeat: EdgeHeartbeat,
        metrics: EdgeMetrics,
        denial_cache: DenialCache,
        corrections: Corrections,
        callers: int = MAX_CACHE_SIZE,
    ) -> None:
        size = min(callers, MAX_CACHE_SIZE)
        self._limiter = limiter
        self._local = local
        self._heartbeat = heartbeat
        self._metrics = metrics
        self._denials = denial_cache
        self._corrections = corrections
        self._checks: TwoGenerationLRUCache[tuple[Match, ...], LimitCheck] = TwoGenerationLRUCache(size)
        self._checks_by_cost: TwoGenerationLRUCache[Priced, LimitCheck] = TwoGenerationLRUCache(size)

    def check(self, matches: tuple[Match, ...], headers: Headers) -> LimitCheck:
        """The check for these rules; the same object for the same rules and what the request states that it costs."""
        check = self._checks.get(matches)
        if check is None:
            check = _check_of(matches, self._metrics.by_rule)
            self._checks.put(matches, check)
        return self._with_costs(matches, headers) if check.request_states_cost else check

    def _with_costs(self, matches: tuple[Match, ...], headers: Headers) -> LimitCheck:
        """The check for a request that may state what it costs."""
        costs = stated_costs(matches, headers)
        by_cost = self._checks_by_cost.get((matches, costs))
        if by_cost is None:
            by_cost = _check_of(with_costs(matches, costs), self._metrics.by_rule, tuple(map(str, costs)))
            self._checks_by_cost.put((matches, costs), by_cost)
        return by_cost

    def blocking_rule(self, check: LimitCheck) -> ActiveRule | None:
        """The rule that blocks the request, if there is one; one that is a shadow rule is only counted."""
        for rule in check.blocking:
            if not rule.shadow:
                return rule
            self._metrics.shadow_refusals.labels(rule.rule_id).inc()
        return None

    def cached_denial(self, check: LimitCheck) -> Denial | None:
        """The refusal that the counters are known to give; None if they must decide."""
        denial = self._denials.get(check.quotas.matches, check.key)
        if denial is not None:
            self._metrics.denied_from_memory += 1
        return denial

    async def evaluate(self, check: LimitCheck, place: str = "") -> tuple[RuleResult, ...]:
        """Let the counters decide, which spends from them if they allow the request.

        `place` is the beginning of the name of its place among the requests in flight, where it needs one.
        Nothing is spent on a request that is deferred whatever they say. Raises CountersUnavailable if the counters
        can't be reached and a rule says `closed`.
        """
        quotas, asked_at_s = check.quotas, monotonic()
        if not check.matches:
            return ()
        try:
            if check.always_defers:
                verdict = await self._limiter.inspect(quotas.charges)
            else:
                verdict = await self._limiter.decide(quotas.charges, place)
            results = evaluate(quotas, verdict)
        except CountersUnavailable as error:
            results = self._without_counters(check, error)
        else:
            self._denials.remember(results, check.key, asked_at_s)
        finally:
            self._metrics.decided_in_s.observe(monotonic() - asked_at_s)
        if check.shadows:
            self._count_shadows(results)
        return results

    def answer_cost(self, check: LimitCheck, results: Sequence[RuleResult]) -> AnswerCost | None:
        """What corrects the counters by the answer to a request that they allowed; None if no rule lets it.

        What a shadow rule refused was not charged, and what this edge counted alone stays as it is.
        """
        if not check.answer_states_cost:
            return None
        spent: list[Charge] = []
        if not any(one.state.local for one in results):
            pairs = zip(results, check.quotas.charges, strict=False)
            spent = [charge for one, charge in pairs if charge.stated_in is not None and not one.state.refused]
        return AnswerCost(self._corrections, spent, hidden_headers(check.quotas.charges))

    def _count_shadows(self, results: Sequence[RuleResult]) -> None:
        for one in results:
            if one.match.rule.shadow and (one.state.refused or one.match.rule.action == "defer"):
                self._metrics.shadow_refusals.labels(one.match.rule.rule_id).inc()

    def _without_counters(self, check: LimitCheck, error: CountersUnavailable) -> tuple[RuleResult, ...]:
        self._metrics.decided_without(error)
        choices = {match.rule.on_store_failure for match in check.matches if not match.rule.shadow}
        if "closed" in choices:
            why = "The counters can't be reached, and a rule allows nothing without them."
            raise CountersUnavailable(why, error.cause)
        local = [one for one in check.matches if one.rule.on_store_failure == "local" or one.rule.always_defers]
        quotas = quotas_of(local)
        verdict = self._local.decide(quotas.charges, self._heartbeat.edges, spend=not check.always_defers)
        return evaluate(quotas, verdict)


def _check_of(matches: tuple[Match, ...], decisions: DecisionsByRule, costs: tuple[str, ...] = ()) -> LimitCheck:
    limiting = tuple([match for match in matches if match.rule.has_quota])
    quotas = quotas_of(limiting)
    return LimitCheck(
        matches=limiting,
        quotas=quotas,
        key=(*[charge.counter for charge in quotas.charges], *costs),
        defers=any(match.rule.defers for match in limiting),
        always_defers=any(match.rule.always_defers for match in limiting),
        shadows=any(match.rule.shadow for match in limiting),
        enforced=not all(match.rule.shadow for match in matches),
        blocking=tuple(sorted((match.rule for match in matches if match.rule.action == "block"), key=_is_shadow)),
        request_states_cost=any(match.rule.cost_header for match in limiting),
        answer_states_cost=any(charge.stated_in is not None for charge in quotas.charges),
        place_counters=tuple([charge.counter for charge in quotas.charges if charge.holds_place]),
        callers=sampled_callers(matches),
        decisions=decisions.of_all([match.rule for match in matches]),
    )


def _is_shadow(rule: ActiveRule) -> bool:
    return rule.shadow
