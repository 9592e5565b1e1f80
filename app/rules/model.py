"""The rule model, by which the admin API, the CLI, the MongoDB store and sync validate rules."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from app.errors import InvalidRule
from app.limiter.algorithms import ALGORITHMS, LIMIT_ALGORITHMS
from app.limiter.keys import window_us
from app.rules.bounds import DAY_S, MAX_UNITS, MAX_WINDOW_S, MIN_WINDOW_S, require_sensible_quota
from app.rules.key_types import DEFAULT
from app.rules.rule_keys import KeyType, KeyValue, normal_key_value, require_key, require_secrets_hashed
from app.web.headers import from_upstream
from app.web.paths import prefix_form
from app.web.validation import UNION_TAG, first_problem

MAX_VERSION = 2**53 - 1
"""The largest integer that every JSON reader reads exactly."""

MAX_NAME_LENGTH = 256
"""Characters of `updated_by`. The store cuts a longer name."""

MAX_HEADROOM_MS = 60_000

MAX_CLAIM_LENGTH = 1024
"""Characters of a claim's value that a rule asks for."""

MAX_FURTHER_LIMITS = 7
"""How many limits a rule may have beside its first: each is a counter that every decision reads."""

MAX_CONCURRENCY = 10_000
"""The highest `concurrency`: the cache Redis holds an entry for each request in flight."""

PLAIN_SECRETS = "plain_secrets"
"""In the context of a validation: whether the value of a secret header may still be plain."""

_TOKEN = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$"  # RFC 9110, 5.6.2


def _valid_token(value: str) -> str:
    if not re.fullmatch(_TOKEN, value):
        raise ValueError("must be an HTTP token")
    return value


def _valid_answer_header(value: str) -> str:
    _valid_token(value)
    name = value.lower().encode()
    if name == b"content-length" or not from_upstream([(name, b"")]):
        raise ValueError("must be a header that is passed on as the app server wrote it")
    return value


def _valid_method(value: str) -> str:
    return _valid_token(value).upper()


def _valid_prefix(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must begin with a slash")
    prefix_form(value)
    return value


def _known_algorithm(value: str) -> str:
    if value not in LIMIT_ALGORITHMS:
        raise ValueError(f"must be {' or '.join(map(repr, LIMIT_ALGORITHMS))}")
    return value


def _integral(value: Any) -> Any:  # noqa: ANN401 - whatever a document holds
    """Read 5.0 as 5, because some MongoDB shells write every number as a double."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _not_zero(instead: str) -> BeforeValidator:
    """Refuse the number 0 with a message that names what to write in its place."""

    def check(value: Any) -> Any:  # noqa: ANN401 - whatever a document holds
        if value == 0 and not isinstance(value, bool):
            raise ValueError(f"must be at least 1: {instead}")
        return value

    return BeforeValidator(check)


RULE_ID_PATTERN = r"^[a-z0-9_-]{1,64}$"
RuleId = Annotated[str, StringConstraints(pattern=RULE_ID_PATTERN)]
AlgorithmName = Annotated[
    str, AfterValidator(_known_algorithm), Field(json_schema_extra={"enum": list(LIMIT_ALGORITHMS)})
]
_INTEGRAL = BeforeValidator(_integral)
Units = Annotated[int, Field(ge=1, le=MAX_UNITS), _INTEGRAL]
LimitUnits = Annotated[Units, _not_zero("to refuse every request, write action: block")]
DrainUnits = Annotated[Units, _not_zero("to send nothing, pause the rule")]
Seconds = Annotated[float, Field(ge=MIN_WINDOW_S, le=MAX_WINDOW_S, allow_inf_nan=False)]
HostName = Annotated[str, StringConstraints(max_length=253)]
Token = Annotated[str, AfterValidator(_valid_token), Field(json_schema_extra={"pattern": _TOKEN})]
AnswerHeader = Annotated[str, AfterValidator(_valid_answer_header), Field(json_schema_extra={"pattern": _TOKEN})]
Method = Annotated[str, AfterValidator(_valid_method), Field(json_schema_extra={"pattern": _TOKEN})]
PathPrefix = Annotated[
    str,
    StringConstraints(max_length=1024),
    AfterValidator(_valid_prefix),
    Field(json_schema_extra={"pattern": r"^/[^?#\\]*$"}),
]


ClaimName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
ClaimText = Annotated[str, StringConstraints(max_length=MAX_CLAIM_LENGTH)]
ClaimValue = ClaimText | bool | int | float
ClaimValues = ClaimValue | Annotated[list[ClaimValue], Field(min_length=1, max_length=64)]


Action = Literal["limit", "block", "allow", "defer"]
WITHOUT_QUOTA: frozenset[Action] = frozenset({"block", "allow"})
"""The actions of rules that count nothing."""
NOT_WITHOUT_QUOTA = ("limits", "concurrency", "on_limit", "drain", "queue")
"""The fields that such rules must not have."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class MatchConditions(_Strict):
    """The requests to which a rule applies; all of a caller's requests if nothing is given."""

    methods: Annotated[list[Method], Field(max_length=32)] | None = None
    """HTTP methods, in any case; they are stored in upper case. `GET` covers `HEAD`. Default: every method."""
    path_prefix: PathPrefix | None = None
    """`/api` and `/api/` match `/api` and every path below `/api/`, however the path is spelled: percent-encoded or
    not, with repeated slashes or without. Never a regular expression, and without a query. Default: every path.
    """
    claims: Annotated[dict[ClaimName, ClaimValues], Field(min_length=1, max_length=16)] | None = None
    """Claims of the verified token, such as `{plan: pro}`: each must have this value, or one of a list of values. A
    caller without a token has no claims. Default: whatever the claims are.
    """
    anonymous: bool | None = None
    """`true`: only callers without a token. `false`: only callers with one. Default: both."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.anonymous and self.claims:
            raise ValueError("claims: callers without a token have none")
        return self


class VariableCost(_Strict):
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


class RuleLimit(_Strict):
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


Concurrency = Annotated[int, Field(ge=1, le=MAX_CONCURRENCY), _INTEGRAL]


class Drain(_Strict):
    """A drain rate of the rule's own, beside the limit."""

    limit: DrainUnits
    """Jobs (of cost 1) per window, at most one for each microsecond."""
    window_seconds: Seconds
    """The window."""
    burst: Units = 1
    """How many may be sent at once. It must be free again within ten years."""
    concurrency: Concurrency | None = None
    """How many drained requests of a descriptor may be in flight at the app servers at once. Default: any number."""


class QueueOptions(_Strict):
    """How a rule's jobs wait and how long their results are kept, and what happens if they can't be sent."""

    max_depth: Annotated[int, Field(ge=1, le=10_000_000), _INTEGRAL] = 1000
    """Jobs of one flow that are not final, those that back off included; a further request is answered 429."""
    max_bytes: Annotated[int, Field(ge=1, le=1 << 40), _INTEGRAL] = 64 << 20
    """Bytes of the requests of one flow whose jobs are not final; a further request is answered 429."""
    max_wait_seconds: Seconds = 3600
    """How long a job may wait until it fails with `expired`. A request whose ETA is later is answered 429."""
    max_attempts: Annotated[int, Field(ge=1, le=100), _INTEGRAL] = 5
    """Attempts until a job fails with `attempts_exhausted`."""
    result_ttl_seconds: Annotated[int, Field(ge=1, le=30 * DAY_S), _INTEGRAL] = 3600
    """How long a finished job and its response are kept."""
    dead_letter_ttl_seconds: Annotated[int, Field(ge=1, le=366 * DAY_S), _INTEGRAL] = 30 * DAY_S
    """How long a failed job is kept."""
    overtaking: bool | None = None
    """Whether live requests may pass the jobs that wait in the flow. Default: `false` with the shared budget, `true`
    with a drain rate of its own.
    """
    on_delete: Literal["drain", "reject"] = "drain"
    """What happens to waiting jobs when the rule is deleted or disabled: `drain` sends them at the last rate, `reject`
    fails them with `rule_deleted`.
    """
    keep_credentials: bool = False
    """Store `Authorization`, `Cookie` and `X-Api-Key` with a job, encrypted. Needs `PENSTOCK_ENVELOPE_KEYS`."""
    drop_headers: Annotated[list[Token], Field(max_length=64)] = []
    """Further headers that are not stored with a job."""
    callback_hosts: Annotated[list[HostName], Field(max_length=64)] = []
    """Accepted, but without effect in this version."""


class Rule(_Strict):
    """One rule. The store sets `version`, `updated_at` and `updated_by`."""

    rule_id: RuleId
    """The name of the rule: lower-case letters, digits, `_` and `-`, at most 64. In MongoDB it is the `_id`."""
    key_type: KeyType
    """Who is counted: `user` (the token's `sub`), `ip`, `claim:<name>` (a verified claim: a string, or a number or
    boolean by its JSON text; lists, objects and null are not counted), `header:<name>` (the value of a header that
    `PENSTOCK_KEY_HEADERS` names, written in lower case and with `-` for `_`), or `default` (where no other rule
    applies; counts by user, else by address). Or a list of two to four of these without `default`, such as
    `[user, claim:tenant]`: one counter for each combination.
    """
    key_value: KeyValue | None = None
    """An exact value; a network such as `10.0.0.0/8` (one counter for all of it); or `*` (a counter for each value).
    IPv6 is counted by /64, so an IPv6 value is a network of at most /64. For a list of key types a list of as many
    values, each exact or `*`. Required, except for `default`, which has none.
    """
    secret: bool = False
    """`true`, with `header:<name>`: the value is a secret. It is counted, stored and shown only as its HMAC-SHA-256
    under `PENSTOCK_KEY_SECRET`, `hmac-sha256:<hex>`. Whoever writes a rule may write the value itself as `key_value`;
    the admin API hashes it.
    """
    action: Action = "limit"
    """What the rule does with a request. `limit`: it applies the limit. `block`: it answers 403. `allow`: it exempts
    the request from every rule of a lower `priority`, of any key type. `defer`: it stores the request and answers 202,
    also within the limit, and sends it at that limit. `block` and `allow` have no `limits`, `on_limit`, `drain` and
    `queue`, and their other fields of a limit are without effect.
    """
    limit: LimitUnits | None = None
    """Units per window, at most one for each microsecond. Required, unless `action` is `block` or `allow`, or
    there is a `concurrency`.
    """
    window_seconds: Seconds | None = None
    """The window. Required with `limit`."""
    burst: Units | None = None
    """How many units at once (GCRA only): the first window can see nearly `limit` + `burst`. It must be free again
    within ten years. Default: `limit`.
    """
    algorithm: AlgorithmName = "gcra"
    """`gcra` spreads requests evenly; `sliding_window` is an exact log that never allows more than `limit` in any
    window (`limit` at most 10,000).
    """
    limits: Annotated[list[RuleLimit], Field(min_length=1, max_length=MAX_FURTHER_LIMITS)] | None = None
    """Further limits of the same descriptor, such as 1,000 a day beside 10 a second. All must permit a request, and
    each is charged what it costs. Each has another window, by which it is known when the rule changes.
    """
    headroom_ms: Annotated[int, Field(ge=0, le=MAX_HEADROOM_MS), _INTEGRAL] = 0
    """How much longer the windows of all limits and of the drain rate count, for app servers that refuse what arrives
    above the same limit: requests do not arrive as far apart as they are sent. At most the shortest window.
    """
    concurrency: Concurrency | None = None
    """How many requests of a descriptor may be in flight at the app servers at once, live and drained together. Over
    it, `on_limit` decides. With it, `limit` and `window_seconds` may be left out. Default: any number.
    """
    cost: Cost = 1
    """Units that a request takes, at most `burst` (with `sliding_window`: `limit`) of every limit: a number, or an
    object where requests differ.
    """
    priority: Annotated[int, Field(ge=-1000, le=1000), _INTEGRAL] = 0
    """Among rules of one key type the highest applies; then exact value, longest network, `*`; then the longest
    `path_prefix`; then `rule_id`. Flows of a higher priority also drain first when workers are short.
    """
    enabled: bool = True
    """`false`: the rule is not in force."""
    match: MatchConditions = MatchConditions()
    """Which requests of a caller the rule is about. Default: all."""
    on_limit: Literal["reject", "defer"] = "reject"
    """What happens over the limit: `reject` answers 429, `defer` stores the request and answers 202. It must not be
    `reject` where `action` is `defer`.
    """
    drain: Drain | None = None
    """A drain rate beside the limit. Default: jobs drain from the rule's own budget, so that live and drained requests
    together never exceed the limit.
    """
    paused: bool = False
    """`true`: the flows accept jobs and do not drain."""
    queue: QueueOptions = QueueOptions()
    """How deferred requests wait."""
    shadow: bool = False
    """`true`: the rule is counted and reported, never enforced."""
    on_store_failure: Literal["open", "closed", "local"] = "local"
    """What happens while counters cannot be reached: `open` allows, `closed` answers 503, `local` lets each edge
    enforce `limit` divided by the number of edges last seen.
    """
    version: Annotated[int, Field(ge=1, le=MAX_VERSION), _INTEGRAL] = 1
    """Kept by the admin API. It rises with each change, also when a rule is deleted and made anew."""
    updated_at: datetime | None = None
    """Kept by the admin API: when the rule last changed."""
    updated_by: Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH)] | None = None
    """Kept by the admin API: who changed it last."""

    @field_validator("key_value")
    @classmethod
    def _normal_key_value(cls, value: str | list[str] | None, info: ValidationInfo) -> str | list[str] | None:
        return normal_key_value(info.data.get("key_type", DEFAULT), value)

    @model_validator(mode="after")
    def _counts_somebody(self, info: ValidationInfo) -> Self:
        plain_allowed = info.context is not None and bool(info.context.get(PLAIN_SECRETS))
        require_key(self.key_type, self.key_value, anonymous=self.match.anonymous)
        require_secrets_hashed(self.key_type, self.key_value, secret=self.secret, plain_allowed=plain_allowed)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._require_fields_of_action()
        field, cost = self._highest_given_cost
        for number, limit in enumerate(self.all_limits):
            where = "" if number == 0 else f"limits.{number - 1}."
            named_cost = (field, cost) if limit.cost is None else (f"{where}cost", limit.cost)
            _require_sensible_limit(where, limit, self.headroom_s, *named_cost)
            if self.states_cost_in_answers and limit.cost is None:
                _require_correctable(where, limit)
        _require_different_windows(self.all_limits)
        if self.drain is not None:
            drain = self.drain
            require_sensible_quota("drain.", drain.limit, drain.window_seconds, drain.burst, self.headroom_s)
            if drain.burst < cost:
                raise ValueError(f"drain.burst: must be at least {field} ({cost})")
        return self

    def _require_fields_of_action(self) -> None:
        """Raises ValueError."""
        if self.action in WITHOUT_QUOTA:
            useless = [name for name in NOT_WITHOUT_QUOTA if getattr(self, name) != DEFAULTS[name]]
            if useless:
                raise ValueError(f"{useless[0]}: a rule with action {self.action!r} has none")
        elif missing := self._missing_fields_of_limit():
            raise ValueError(f"{missing[0]}: required with action {self.action!r}")
        elif self.action == "defer" and "on_limit" in self.model_fields_set and self.on_limit == "reject":
            raise ValueError("on_limit: a rule with action 'defer' rejects nothing")

    def _missing_fields_of_limit(self) -> list[str]:
        """What a limit needs and this one has not; a rule with `concurrency` may have no limit at all."""
        missing = [name for name in ("limit", "window_seconds") if getattr(self, name) is None]
        needs_none = self.concurrency is not None and self.limits is None
        return [] if needs_none and len(missing) == 2 else missing

    @property
    def _highest_given_cost(self) -> tuple[str, int]:
        """The highest cost that the rule names, and the name of that field."""
        cost = self.cost
        if isinstance(cost, int):
            return "cost", cost
        return ("cost.default", cost.default) if cost.max is None else ("cost.max", cost.max)

    @property
    def states_cost_in_answers(self) -> bool:
        """Whether answers may state what their requests have really cost."""
        return isinstance(self.cost, VariableCost) and self.cost.response_header is not None

    @property
    def default_cost(self) -> int:
        """What a request costs that states no cost."""
        return self.cost if isinstance(self.cost, int) else self.cost.default

    @property
    def max_cost(self) -> int:
        """The highest cost that a request can have."""
        if isinstance(self.cost, int) or self.cost.header is None:
            return self.default_cost
        bursts = [limit.effective_burst for limit in self.all_limits if limit.cost is None]
        if self.drain is not None:
            bursts.append(self.drain.burst)
        most = min(bursts, default=self.default_cost)
        return most if self.cost.max is None else self.cost.max

    @property
    def all_limits(self) -> tuple[RuleLimit, ...]:
        """The rule's own limit, then its further limits. A rule that blocks or allows may have none."""
        if self.limit is None or self.window_seconds is None:
            return ()
        own = RuleLimit(
            limit=self.limit, window_seconds=self.window_seconds, burst=self.burst, algorithm=self.algorithm
        )
        return (own, *(self.limits or ()))

    @property
    def headroom_s(self) -> float:
        """By how much longer windows count, in seconds."""
        return self.headroom_ms / 1000

    @property
    def overtaking(self) -> bool:
        """Whether live requests may pass jobs that wait: by default only if the rule has its own drain rate."""
        return self.drain is not None if self.queue.overtaking is None else self.queue.overtaking


DEFAULTS = {name: field.default for name, field in Rule.model_fields.items()}
"""The values of the fields that a rule does not name."""


def _require_sensible_limit(where: str, limit: RuleLimit, headroom_s: float, cost_field: str, cost: int) -> None:
    """Check a limit's numbers against each other. Raises ValueError; `where` precedes the names of its fields."""
    algorithm = ALGORITHMS[limit.algorithm]
    if algorithm.max_limit is not None and limit.limit > algorithm.max_limit:
        raise ValueError(f"{where}limit: at most {algorithm.max_limit} with algorithm {limit.algorithm!r}")
    require_sensible_quota(where, limit.limit, limit.window_seconds, limit.effective_burst, headroom_s)
    if cost > limit.effective_burst:
        bound = "burst" if algorithm.has_burst else "limit"
        raise ValueError(f"{cost_field}: must be at most {where}{bound} ({limit.effective_burst})")


def _require_correctable(where: str, limit: RuleLimit) -> None:
    """A log of units cannot be corrected by what answers state. Raises ValueError."""
    if not ALGORITHMS[limit.algorithm].takes_corrections:
        raise ValueError(f"cost.response_header: not with {where}algorithm {limit.algorithm!r}")


def _require_different_windows(limits: Sequence[RuleLimit]) -> None:
    """A limit is known by its window when the rule changes, so no two may have the same. Raises ValueError."""
    known = [(window_us(limit.window_seconds), limit.cost is None) for limit in limits]
    for number, of_limit in enumerate(known):
        if of_limit in known[:number]:
            raise ValueError(f"limits.{number - 1}.window_seconds: another limit of the rule has the same window")


def parse_rule(fields: Any, *, plain_secrets: bool = False) -> Rule:  # noqa: ANN401 - whatever a person or a document holds
    """Validate a rule from JSON, YAML or MongoDB; raises InvalidRule, which names the field and what is allowed.

    `plain_secrets`: the value of a secret header need not be hashed yet (KeyHeaders.admit).
    """
    if isinstance(fields, dict) and "_id" in fields:
        fields = {"rule_id": fields["_id"]} | {name: value for name, value in fields.items() if name != "_id"}
    try:
        return Rule.model_validate(fields, context={PLAIN_SECRETS: plain_secrets})
    except ValidationError as error:
        raise InvalidRule(first_problem(error)) from error


STORE_FIELDS = frozenset({"version", "updated_at", "updated_by"})
"""The fields that the admin API maintains. Nobody else can set them."""


def editable_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a rule without those that the admin API maintains."""
    return {name: value for name, value in fields.items() if name not in STORE_FIELDS}


def to_json(rule: Rule) -> dict[str, Any]:
    """Write a rule as the admin API and rules files show it: fields at their defaults are left out."""
    fields = rule.model_dump(mode="json", exclude_defaults=True)
    return fields | {"version": rule.version}
