"""What a preview of a changed rule answers: the same for both faces."""

from pydantic import BaseModel, ConfigDict, Field


class _PreviewModel(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Estimate(_PreviewModel):
    """A number of requests. It is exact where the sample holds all callers."""

    requests: int
    margin: int
    """The true number is within this margin in 95 of 100 samples. 0: the number is exact."""


class PreviewedOutcomes(_PreviewModel):
    """What a version of the rule does with the requests."""

    forwarded: Estimate
    rejected: Estimate
    deferred: Estimate
    blocked: Estimate
    untouched: Estimate
    """Requests to which the version does not apply."""


class AffectedCaller(_PreviewModel):
    """A caller of the sample for whom something changes, by its descriptor."""

    descriptor: str
    requests: int
    forwarded_now: int
    forwarded_then: int


class Preview(_PreviewModel):
    """What a changed rule would have done to the latest requests, beside what the rule that is stored does to them.

    Both are computed from the requests as they came, beginning with unspent counters.
    """

    summary: str
    """The result in a sentence."""
    seconds: float
    """How far back the sample goes."""
    share: float = Field(gt=0, le=1)
    """Which part of the callers the sample holds."""
    sampled_callers: int
    sampled_requests: int
    requests: Estimate
    now: PreviewedOutcomes
    """By the rule as it is stored."""
    then: PreviewedOutcomes
    """By the changed rule."""
    most_affected: list[AffectedCaller]
    """At most ten callers of the sample: those whose number of forwarded requests changes most."""
    notes: list[str]
    """What the preview does not know."""
