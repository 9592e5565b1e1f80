"""Flows as operators see them, by whichever face of the admin API."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.rules.field_types import DrainUnits, RuleId, Seconds, StrictModel, Units

MAX_PAGE_SIZE = 500
CURSOR = r"^[0-9]+\.[0-9]{3}-[0-9]+_[0-9]{1,7}_-?[0-9]{1,16}$"


class FlowOrder(StrEnum):
    """How a list of flows is sorted: the most jobs first, the longest wait first, or by the rule that deferred them."""

    DEPTH = "depth"
    AGE = "age"
    RULE = "rule"


class FlowState(StrEnum):
    """What a flow does now."""

    DRAINING = "draining"
    PAUSED = "paused"
    HELD = "held"
    WAITING_FOR_PLACE = "waiting_for_place"
    WAITING_FOR_RULE = "waiting_for_rule"


PausedBy = Literal["flow", "rule"]
ListedState = Literal["held", "paused"]
"""States by which flows can be listed."""


class FlowQuery(BaseModel):
    """Which flows to list. `descriptor`: flows that are charged to it, whichever rule counts it.

    `state`: those that an app server holds back, or those that are paused, by themselves or with their rule.
    """

    model_config = ConfigDict(frozen=True)

    sort: FlowOrder = FlowOrder.DEPTH
    rule_id: RuleId | None = None
    descriptor: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    state: ListedState | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)] = 100
    after: Annotated[str, Field(pattern=CURSOR)] | None = None


class FlowRateFields(StrictModel):
    """A rate of flows."""

    limit: DrainUnits = Field(description="Jobs (of cost 1) per window, at most one for each microsecond.")
    window_seconds: Seconds = Field(description="The window.")
    burst: Units = Field(1, description="How many may be sent at once. It must be free again within ten years.")


class Flow(BaseModel):
    """One flow. Rates are in jobs a second."""

    id: str = Field(description="Names the flow in addresses.")
    name: str = Field(description="What its jobs are charged for, the rule that deferred them first.")
    rule_id: str
    descriptor: str = Field(description="Who is counted by that rule.")
    caller: str = Field(description="Whose jobs they are: another than `descriptor` where callers share a counter.")
    depth: int = Field(description="Jobs that are not final.")
    waiting: int = Field(description="Jobs of these that wait in the flow for their turn.")
    in_flight: int = Field(description="Jobs of these that a worker sends, or is about to.")
    backing_off: int = Field(description="Jobs of these that wait until they are tried again.")
    bytes: int = Field(description="The size of their requests, but for those that are still on Kafka.")
    oldest_age_seconds: float | None = Field(description="How long ago the first waiting job was accepted.")
    state: FlowState
    state_detail: str = Field(description="The state in words.")
    paused_by: PausedBy | None = Field(
        description="What is paused, where it is: the `flow` by itself, or its `rule`; it has to be resumed there."
    )
    held_until: datetime | None = Field(description="Until when the app server's answers hold it.")
    waits_for: str | None = Field(description="The rule whose limit it waits for.")
    permitted_per_second: float | None = Field(
        description="The lowest rate of all limits that its jobs are charged for; null where they have none."
    )
    permitted_by: str | None = Field(description="The rule that this rate is of.")
    own_rate: FlowRateFields | None = Field(description="The rate that operators have set for it.")
    actual_per_second: float | None = Field(
        description="How many of its jobs have ended, by an outcome or canceled; null where it is too new to tell."
    )
    actual_over_seconds: float | None = Field(description="Over how long that was counted, about ten seconds.")
    eta_seconds: float | None = Field(description="Until no job waits any more; null where that is not known.")


class FlowPage(BaseModel):
    """A page of flows. `next` is the `after` of the next page; null: this is the last.

    The numbers of each flow are current; which flows there are, and their order, is as of `as_of`.
    """

    flows: list[Flow]
    total: int = Field(description="How many flows the list has.")
    as_of: datetime = Field(description="When the flows were looked at to sort them.")
    complete: bool = Field(
        description="Whether all flows are in the list: not in the first moments, nor with very many."
    )
    next: str | None


class FlowSettings(BaseModel):
    """What is set for the flows of a descriptor under a rule: of a caller, or all that share a counter."""

    id: str = Field(description="Names them in addresses, as the id of a flow of theirs does.")
    rule_id: str
    descriptor: str
    paused: bool
    rate: FlowRateFields | None
    changed_at: datetime | None
    changed_by: str | None
    paused_until: datetime | None = Field(description="When they are as paused as before again; null: it has no end.")
    rate_until: datetime | None = Field(description="When they have their previous rate again; null: it has no end.")


class FlowSettingPage(BaseModel):
    """Some of the settings. `next` is the `after` of the next page; null: these are the last."""

    settings: list[FlowSettings]
    next: int | None


class FlowPurge(BaseModel):
    """How many jobs were canceled. `next` is the `after` with which to go on; null: nothing is left."""

    canceled: int
    next: str | None
