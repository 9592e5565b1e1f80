"""The headers that tell a client its limits (draft-ietf-httpapi-ratelimit-headers-11)."""

import math
from collections.abc import Sequence

from app.decision import Judged
from app.jobs.model import Headers


def rate_limit(judged: Sequence[Judged], *, retry_after_s: float = math.inf) -> Headers:
    """`RateLimit-Policy` and `RateLimit`; nothing where no rule is enforced.

    Beside a `Retry-After` no time is named that is later: it must never be earlier than any.
    """
    enforced = [one for one in judged if not one.match.rule.rule.shadow]
    if not enforced:
        return []
    policies = ", ".join([one.match.rule.policy_item for one in enforced])
    states = ", ".join([_state_item(one, retry_after_s) for one in enforced])
    return [(b"ratelimit-policy", policies.encode()), (b"ratelimit", states.encode())]


def _state_item(one: Judged, latest_s: float) -> str:
    state = one.state
    item = f'"{one.match.rule.rule_id}";r={state.remaining}'
    spent = state.remaining < one.match.rule.rule.cost
    t = math.ceil((state.wait_us if spent else state.reset_us) / 1e6)
    return f"{item};t={t}" if t <= latest_s else item
