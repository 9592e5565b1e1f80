"""What a client over its limit is told."""

from collections.abc import Sequence

from app.decision import Reject, RuleResult, decide
from app.edge.denial_cache import Denial
from app.edge.rate_limit_headers import rate_limit
from app.process.lru_cache import TwoGenerationLRUCache
from app.web.problems import QUOTA_EXCEEDED, Reply, problem, retry_after

CACHE_SIZE = 10_000


class Refusals:
    """429, written once for each refusal that the denial cache repeats: it is the same object then."""

    def __init__(self) -> None:
        self._written: TwoGenerationLRUCache[int, tuple[Denial, Reply]] = TwoGenerationLRUCache(CACHE_SIZE)

    def of(self, denial: Denial) -> Reply:
        """What a client is told who is known to be over its limit."""
        known = self._written.get(id(denial))
        if known is not None and known[0] is denial:
            return known[1]
        decision = decide(denial)
        assert isinstance(decision, Reject), "nothing else is kept"
        reply = over_limit(decision.by, denial)
        self._written.put(id(denial), (denial, reply))
        return reply


def over_limit(
    by: Sequence[RuleResult], results: Sequence[RuleResult], *, room_in_s: float | None = None, why: str = ""
) -> Reply:
    """429. `by`: the rules that refuse; after `Retry-After` none of them does for what is spent now.

    `room_in_s`: the request would be deferred, if its flow had room: until then, however long the quota is spent.
    """
    wait_s = max(one.state.wait_us / 1e6 for one in by) if room_in_s is None else room_in_s
    names = [one.match.rule.rule_id for one in by]
    detail = f"The request is over the limit of {', '.join(names)}" + (f", and {why}." if why else ".")
    after = retry_after(wait_s)
    headers = [after, *rate_limit(results, retry_after_s=int(after[1]))]
    return problem(429, detail, headers, type_=QUOTA_EXCEEDED, **{"violated-policies": names})
