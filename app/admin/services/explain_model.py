"""What is explained, and the explanation: the same for both faces."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.rules.field_types import Token
from app.rules.in_force import Source
from app.rules.model import Action


class ExplainRequest(BaseModel):
    """The request to explain, and its caller. Without `user` the caller is anonymous.

    `headers` are those by which rules count; other headers change nothing. Neither the answer nor any log has the value
    of a secret one.
    """

    model_config = ConfigDict(extra="forbid")

    user: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    ip: Annotated[str, Field(max_length=64)] = "127.0.0.1"
    claims: Annotated[dict[str, str | bool | int | float], Field(max_length=32)] = {}
    method: Annotated[str, Field(max_length=64)] = "GET"
    path: Annotated[str, Field(max_length=8192)] = "/"
    headers: Annotated[dict[Token, Annotated[str, Field(max_length=8192)]], Field(max_length=64)] = {}


class ExplainedRule(BaseModel):
    """A limit of a rule that applies, the descriptor that it counts, and what is left of it.

    `policy` is what clients call the limit. `refuses` says whether it refuses the request now. A rule that blocks or
    allows has no limit. `source` says where the limit and the drain rate of a rule with a schedule or a temporary value
    come from, and `until` when they change by themselves.
    """

    rule_id: str
    policy: str
    descriptor: str
    action: Action
    shadow: bool
    refuses: bool
    limit: int | None = None
    window_seconds: float | None = None
    headroom_ms: int | None = None
    burst: int | None = None
    algorithm: str | None = None
    cost: int | None = None
    on_limit: Literal["reject", "defer"] | None = None
    remaining: int | None = None
    in_flight: int | None = None
    wait_seconds: float | None = None
    backlog: bool | None = None
    source: Source = "rule"
    until: datetime | None = None


class Explanation(BaseModel):
    """The rules that apply to the request, the decision, and the limits or blocking rules that lead to it.

    `block` without any: no rule applies, and `PENSTOCK_NO_RULE` is `deny`.
    """

    rules: list[ExplainedRule]
    decision: Literal["forward", "reject", "defer", "block"]
    by: list[str]
