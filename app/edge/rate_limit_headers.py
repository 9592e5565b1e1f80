"""The headers that tell a client its limits (draft-ietf-httpapi-ratelimit-headers-11)."""

import math
from collections.abc import Sequence

from app.decision import RuleResult
from app.web.headers import Headers


def rate_limit(results: Sequence[RuleResult], *, retry_after_s: float = math.inf) -> Headers:
    """`RateLimit-Policy` and `RateLimit`; nothing where no rule is enforced.

    Beside a `Retry-After` no time is named that is later: it must never be earlier than any.
    """
    policies, states = [], []
    for match, state in results:
        active = match.rule
        rule = active.rule
        if not rule.shadow:
            policies.append(active.policy_item)
            spent = state.remaining < rule.cost
            t_s = -(-(state.wait_us if spent else state.reset_us) // 1_000_000)
            time = b";t=%d" % t_s if t_s <= retry_after_s else b""
            states.append(b"%b%d%b" % (active.limit_item, state.remaining, time))
    if not policies:
        return []
    return [(b"ratelimit-policy", b", ".join(policies)), (b"ratelimit", b", ".join(states))]
