"""What a client over its limit is told."""

from collections.abc import Sequence

from app.decision import Judged
from app.edge.headers import rate_limit
from app.problems import QUOTA_EXCEEDED, Reply, problem, retry_after


def over_limit(by: Sequence[Judged], judged: Sequence[Judged], *, at_least_s: float = 0, why: str = "") -> Reply:
    """429. `by`: the rules that refuse; after `Retry-After` none of them does for what is spent now."""
    wait_s = max([at_least_s, *(one.state.wait_us / 1e6 for one in by)])
    names = [one.match.rule.rule_id for one in by]
    detail = f"The request is over the limit of {', '.join(names)}" + (f", and {why}." if why else ".")
    after = retry_after(wait_s)
    headers = [after, *rate_limit(judged, retry_after_s=int(after[1]))]
    return problem(429, detail, headers, type_=QUOTA_EXCEEDED, **{"violated-policies": names})
