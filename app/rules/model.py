"""The rule that an operator writes: one model for the admin API, the CLI, MongoDB's documents and sync."""

import re
from datetime import datetime
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from app.errors import InvalidRule

MAX_SLIDING_WINDOW_LIMIT = 10_000
DAY_S = 86_400
MOST_VERSIONS = 2**53 - 1
"""Beyond it JSON's readers disagree about what a number is."""

_KEY_TYPE = r"^(user|ip|default|claim:[A-Za-z0-9_][A-Za-z0-9_:/-]{0,127})$"
_TOKEN = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$"  # RFC 9110, 5.6.2


def _valid_key_type(value: str) -> str:
    if not re.fullmatch(_KEY_TYPE, value):
        raise ValueError("must be 'user', 'ip', 'default' or 'claim:<name>'")
    return value


def _valid_token(value: str) -> str:
    if not re.fullmatch(_TOKEN, value):
        raise ValueError("must be an HTTP token")
    return value


def _integral(value: Any) -> Any:  # noqa: ANN401 - whatever a document holds
    """Some MongoDB shells write every number as a double: 5.0 is 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]
KeyType = Annotated[str, AfterValidator(_valid_key_type), Field(json_schema_extra={"pattern": _KEY_TYPE})]
_INTEGRAL = BeforeValidator(_integral)
Units = Annotated[int, Field(ge=1, le=1_000_000_000), _INTEGRAL]
WindowSeconds = Annotated[float, Field(gt=0, le=366 * DAY_S, allow_inf_nan=False)]
Token = Annotated[str, AfterValidator(_valid_token), Field(json_schema_extra={"pattern": _TOKEN})]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MatchConditions(_Strict):
    """Which requests of a caller a rule is about; nothing given means all."""

    methods: Annotated[list[Token], Field(max_length=32)] | None = None
    path_prefix: Annotated[str, StringConstraints(pattern=r"^/", max_length=1024)] | None = None


class Drain(_Strict):
    """A drain rate of its own, beside the limit."""

    limit: Units
    window_seconds: WindowSeconds
    burst: Units = 1


class QueueOptions(_Strict):
    """How a rule's deferred requests wait, and what happens when they can't be sent."""

    max_depth: Annotated[int, Field(ge=1, le=10_000_000), _INTEGRAL] = 1000
    max_wait_seconds: Annotated[float, Field(gt=0, le=366 * DAY_S)] = 3600
    max_attempts: Annotated[int, Field(ge=1, le=100), _INTEGRAL] = 5
    result_ttl_seconds: Annotated[int, Field(ge=1, le=30 * DAY_S), _INTEGRAL] = 3600
    dead_letter_ttl_seconds: Annotated[int, Field(ge=1, le=366 * DAY_S), _INTEGRAL] = 30 * DAY_S
    overtaking: bool | None = None
    on_delete: Literal["drain", "reject"] = "drain"
    keep_credentials: bool = False
    drop_headers: Annotated[list[Token], Field(max_length=64)] = []
    callback_hosts: Annotated[list[str], Field(max_length=64)] = []


class Rule(_Strict):
    """One rule. The admin API keeps `version`, `updated_at` and `updated_by`; `version` is the ETag, nothing else."""

    rule_id: RuleId
    key_type: KeyType
    key_value: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    limit: Units
    window_seconds: WindowSeconds
    burst: Units | None = None
    algorithm: Literal["gcra", "sliding_window"] = "gcra"
    cost: Units = 1
    priority: Annotated[int, Field(ge=-1000, le=1000), _INTEGRAL] = 0
    enabled: bool = True
    match: MatchConditions = MatchConditions()
    on_limit: Literal["reject", "defer"] = "reject"
    drain: Drain | None = None
    paused: bool = False
    queue: QueueOptions = QueueOptions()
    shadow: bool = False
    on_store_failure: Literal["open", "closed", "local"] = "local"
    version: Annotated[int, Field(ge=1, le=MOST_VERSIONS), _INTEGRAL] = 1
    updated_at: datetime | None = None
    updated_by: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.key_type == "default") != (self.key_value is None):
            raise ValueError("key_value: required, except for key_type 'default', which has none")
        if self.key_type == "ip" and self.key_value not in {None, "*"}:
            _require_canonical_network(str(self.key_value))
        if self.cost > self.effective_burst:
            raise ValueError(f"cost: must be at most burst ({self.effective_burst})")
        if self.algorithm == "sliding_window" and self.limit > MAX_SLIDING_WINDOW_LIMIT:
            raise ValueError(f"limit: at most {MAX_SLIDING_WINDOW_LIMIT} with algorithm 'sliding_window'")
        if self.drain is not None and self.drain.burst < self.cost:
            raise ValueError(f"drain.burst: must be at least cost ({self.cost})")
        return self

    @property
    def effective_burst(self) -> int:
        """How many units at once; `limit` unless the rule says otherwise."""
        return self.limit if self.burst is None else self.burst

    @property
    def overtaking(self) -> bool:
        """Whether live requests may pass the flow's backlog."""
        return self.drain is not None if self.queue.overtaking is None else self.queue.overtaking


def _require_canonical_network(value: str) -> None:
    try:
        network = ip_network(value, strict=True)
    except ValueError as error:
        raise ValueError(f"key_value: must be an address, a network or '*': {error}") from None
    canonical = str(network) if "/" in value else str(network.network_address)
    if value != canonical:
        raise ValueError(f"key_value: write it as '{canonical}'")


def parse_rule(fields: Any) -> Rule:  # noqa: ANN401 - whatever a person or a document holds
    """Validate what a person or a document says; raises InvalidRule naming the field and what is allowed."""
    if isinstance(fields, dict) and "_id" in fields:
        fields = {"rule_id": fields["_id"]} | {name: value for name, value in fields.items() if name != "_id"}
    try:
        return Rule.model_validate(fields)
    except ValidationError as error:
        raise InvalidRule(_first_problem(error)) from error


def to_json(rule: Rule) -> dict[str, Any]:
    """A rule as the admin API and files write it: what is at its default is left out."""
    fields = rule.model_dump(mode="json", exclude_defaults=True)
    return fields | {"version": rule.version}


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
