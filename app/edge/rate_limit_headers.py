"""The headers that tell a client its limits (draft-ietf-httpapi-ratelimit-headers-11)."""

import math
from collections.abc import Sequence
from functools import lru_cache

from app.decision import RuleResult, cost_of
from app.limiter.policy import Policy
from app.web.headers import Headers

CACHE_SIZE = 20_000


def rate_limit(results: Sequence[RuleResult], *, retry_after_s: float = math.inf) -> Headers:
    """Build `RateLimit-Policy` and `RateLimit`; without an enforced rule there are neither.

    The draft forbids a `Retry-After` that ends before a `t` beside it, so a `t` later than `retry_after_s` is left out.
    """
    policies, states = [], []
    for match, policy, state in results:
        rule = match.rule
        if not rule.shadow:
            item, name = _fixed_items(policy)
            policies.append(item)
            spent = state.remaining < cost_of(match, policy)
            t_s = -(-(state.wait_us if spent else state.reset_us) // 1_000_000)
            is_known = t_s <= retry_after_s and not policy.limits_concurrency
            time = b";t=%d" % t_s if is_known else b""
            states.append(b"%b%d%b" % (name, state.remaining, time))
    if not policies:
        return []
    return [(b"ratelimit-policy", b", ".join(policies)), (b"ratelimit", b", ".join(states))]


@lru_cache(CACHE_SIZE)
def _fixed_items(policy: Policy) -> tuple[bytes, bytes]:
    """What is the same for all requests under a quota: `"rule-id";q=100;w=60`, and `"rule-id";r=` up to what remains.

    `w` must be an integer, so a window that is no whole number of seconds is not named.
    """
    if policy.limits_concurrency:
        return f'"{policy.name}";q={policy.limit};qu="concurrent-requests"'.encode(), f'"{policy.name}";r='.encode()
    window = f";w={policy.window_s:.0f}" if policy.window_s == int(policy.window_s) else ""
    return f'"{policy.name}";q={policy.limit}{window}'.encode(), f'"{policy.name}";r='.encode()
