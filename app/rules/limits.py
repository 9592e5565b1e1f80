"""The parts of a rule that say how much is permitted, and what a request costs; with the checks of their numbers."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Discriminator, Tag, model_validator

from app.limiter.algorithms import ALGORITHMS
from app.limiter.keys import window_us
from app.rules.bounds import require_sensible_quota
from app.rules.field_types import (
    AlgorithmName,
    AnswerHeader,
    Concurrency,
    DrainUnits,
    LimitUnits,
    Seconds,
    StrictModel,
    Token,
    Units,
)
from app.web.validation import UNION_TAG


class VariableCost(StrictModel):
    """A cost that differs from request to request: the request states it, or the answer does, or both."""

    header: Token | None = None
    """The header of the request that states its cost, in decimal digits. It is forwarded as it is. Clients choose what
    they send, so they must be trusted, or something in front of Penstock must set it. Default: requests state nothing.
    """
    default: Units = 1
    """The cost of a request that states none, states something else than a number of at least 1, or states two that
    differ.
    """
    max: Units | None = None
    """The highest cost that a request can state; what is above is taken for it. At most `burst`, at most `limit` with
    `sliding_window`, and at most `drain.burst`. Default: the most that these allow.
    """
    response_header: AnswerHeader | None = None
    """The header, or the trailer, in which an app server states what the request has really cost: an integer from 0 to
    1000000000. The counter is corrected by the difference. With `gcra` only. Default: answers state nothing.
    """
    expose: bool = False
    """`true`: clients see `response_header`. Otherwise it is removed from the answer."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.header is None and self.response_header is None:
            raise ValueError("header or response_header: one of them is required")
        if self.max is not None and self.default > self.max:
            raise ValueError(f"default: must be at most max ({self.max})")
        return self


def _kind_of_cost(value: Any) -> str:  # noqa: ANN401 - whatever a document holds
    return _VARIABLE if isinstance(value, dict | VariableCost) else _FIXED


_FIXED, _VARIABLE = f"{UNION_TAG}fixed", f"{UNION_TAG}variable"
Cost = Annotated[Annotated[Units, Tag(_FIXED)] | Annotated[VariableCost, Tag(_VARIABLE)], Discriminator(_kind_of_cost)]


class RuleLimit(StrictModel):
    """One of the limits of a rule, all of which count the same descriptor."""

    limit: LimitUnits
    """Units per window, at most one for each microsecond."""
    window_seconds: Seconds
    """The window. No other limit of the rule has the same, but for one with a `cost` of its own."""
    burst: Units | None = None
    """How many units at once (GCRA only). It must be free again within ten years. Default: `limit`."""
    algorithm: AlgorithmName = "gcra"
    """`gcra` or `sliding_window`, as for the rule's first limit."""
    cost: Units | None = None
    """What every request costs this limit, instead of the rule's `cost`: 1 counts requests beside tokens."""

    @property
    def effective_burst(self) -> int:
        """How many units may be spent at once: `burst`, or `limit` if that is not given or the algorithm has none."""
        return self.limit if self.burst is None or not ALGORITHMS[self.algorithm].has_burst else self.burst


class Drain(StrictModel):
    """A drain rate of the rule's own, beside the limit."""

    limit: DrainUnits
    """Jobs (of cost 1) per window, at most one for each microsecond."""
    window_seconds: Seconds
    """The window."""
    burst: Units = 1
    """How many may be sent at once. It must be free again within ten years."""
    concurrency: Concurrency | None = None
    """How many drained requests of a descriptor may be in flight at the app servers at once. Default: any number."""


def require_sensible_limit(where: str, limit: RuleLimit, headroom_s: float, cost_field: str, cost: int) -> None:
    """Check a limit's numbers against each other. Raises ValueError; `where` precedes the names of its fields."""
    algorithm = ALGORITHMS[limit.algorithm]
    if algorithm.max_limit is not None and limit.limit > algorithm.max_limit:
        raise ValueError(f"{where}limit: at most {algorithm.max_limit} with algorithm {limit.algorithm!r}")
    require_sensible_quota(where, limit.limit, limit.window_seconds, limit.effective_burst, headroom_s)
    if cost > limit.effective_burst:
        bound = "burst" if algorithm.has_burst else "limit"
        raise ValueError(f"{cost_field}: must be at most {where}{bound} ({limit.effective_burst})")


def require_correctable(where: str, limit: RuleLimit) -> None:
    """A log of units cannot be corrected by what answers state. Raises ValueError."""
    if not ALGORITHMS[limit.algorithm].takes_corrections:
        raise ValueError(f"cost.response_header: not with {where}algorithm {limit.algorithm!r}")


def require_different_windows(limits: Sequence[RuleLimit]) -> None:
    """A limit is known by its window when the rule changes, so no two may have the same. Raises ValueError."""
    known = [(window_us(limit.window_seconds), limit.cost is None) for limit in limits]
    for number, of_limit in enumerate(known):
        if of_limit in known[:number]:
            raise ValueError(f"limits.{number - 1}.window_seconds: another limit of the rule has the same window")
