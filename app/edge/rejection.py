"""The 429 that answers a request over a limit."""

from collections.abc import Sequence

from app.decision import Reject, RuleResult, decide
from app.edge.denial_cache import Denial
from app.edge.rate_limit_headers import rate_limit
from app.edge.rule_decisions import DecisionsByRule, RuleDecisions
from app.process.lru_cache import TwoGenerationLRUCache
from app.web.problems import QUOTA_EXCEEDED, Reply, problem, retry_after

CACHE_SIZE = 10_000


class RejectionReplies:
    """Builds one reply for each denial, for as long as the denial cache returns the same object; counts requests."""

    def __init__(self, by_rule: DecisionsByRule) -> None:
        self._by_rule = by_rule
        self._replies: TwoGenerationLRUCache[int, tuple[Denial, Reply, tuple[RuleDecisions, ...]]] = (
            TwoGenerationLRUCache(CACHE_SIZE)
        )

    def of(self, denial: Denial) -> Reply:
        """The reply to a request that the denial cache refuses, which is counted for the rules that refuse it."""
        cached = self._replies.get(id(denial))
        if cached is None or cached[0] is not denial:
            decision = decide(denial)
            assert isinstance(decision, Reject), "the denial cache holds nothing else"
            refusing = self._by_rule.of_all([one.match.rule for one in decision.by])
            cached = (denial, rejection(decision.by, denial), refusing)
            self._replies.put(id(denial), cached)
        for decisions in cached[2]:
            decisions.reject += 1
        return cached[1]


def rejection(
    by: Sequence[RuleResult], results: Sequence[RuleResult], *, room_in_s: float | None = None, why: str = ""
) -> Reply:
    """Build the 429. `Retry-After` is the longest wait of the rules in `by`, which refuse the request.

    `room_in_s` takes the place of that wait if the request would be deferred but its flow is full: until it has room.
    `why` says in the detail why the request was not deferred.
    """
    wait_s = max(one.wait_us / 1e6 for one in by) if room_in_s is None else room_in_s
    names = [one.policy.name for one in by]
    cause = f"The request is over the limit of {', '.join(names)}"
    if by[0].match.rule.always_defers:
        cause = f"The rule {by[0].match.rule.rule_id} defers every request"
    detail = f"{cause}, and {why}." if why else f"{cause}."
    after = retry_after(wait_s)
    headers = [after, *rate_limit(results, retry_after_s=int(after[1]))]
    return problem(429, detail, headers, type_=QUOTA_EXCEEDED, **{"violated-policies": names})
