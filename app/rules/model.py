"""The rule model, by which the admin API, the CLI, the MongoDB store and sync validate rules."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, ValidationInfo, field_validator, model_validator

from app.errors import InvalidRule
from app.rules.bounds import MAX_VERSION, require_sensible_quota
from app.rules.field_types import (
    INTEGRAL,
    AlgorithmName,
    Concurrency,
    LimitUnits,
    RuleId,
    Seconds,
    StrictModel,
    Units,
)
from app.rules.key_types import DEFAULT
from app.rules.limits import (
    Cost,
    Drain,
    RuleLimit,
    VariableCost,
    require_correctable,
    require_different_windows,
    require_sensible_limit,
)
from app.rules.match_conditions import MatchConditions
from app.rules.queue_options import QueueOptions
from app.rules.rule_keys import KeyType, KeyValue, normal_key_value, require_key, require_secrets_hashed
from app.rules.schedule import MAX_WINDOWS, ScheduledWindow
from app.rules.temporary import TemporaryChange
from app.web.validation import first_problem

MAX_NAME_LENGTH = 256
"""Characters of `updated_by`. The store cuts a longer name."""

MAX_HEADROOM_MS = 60_000

MAX_TEMPORARY = 8

MAX_FURTHER_LIMITS = 7
"""How many limits a rule may have beside its first: each is a counter that every decision reads."""

PLAIN_SECRETS = "plain_secrets"
"""In the context of a validation: whether the value of a secret header may still be plain."""

Action = Literal["limit", "block", "allow", "defer"]
WITHOUT_QUOTA: frozenset[Action] = frozenset({"block", "allow"})
"""The actions of rules that count nothing."""
NOT_WITHOUT_QUOTA = ("limits", "concurrency", "on_limit", "drain", "queue", "schedule")
"""The fields that such rules must not have."""


class Rule(StrictModel):
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
    also within the limit, and sends it at that limit. `block` and `allow` have no `limits`, `concurrency`,
    `on_limit`, `drain`, `queue` and `schedule`, and their other fields of a limit are without effect.
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
    headroom_ms: Annotated[int, Field(ge=0, le=MAX_HEADROOM_MS), INTEGRAL] = 0
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
    priority: Annotated[int, Field(ge=-1000, le=1000), INTEGRAL] = 0
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
    schedule: Annotated[list[ScheduledWindow], Field(min_length=1, max_length=MAX_WINDOWS)] | None = None
    """Windows of local time, such as nights and weekends, in which the rule has another drain rate or limit. Of those
    that overlap the first counts. A temporary value goes before it.
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
    temporary: Annotated[list[TemporaryChange], Field(max_length=MAX_TEMPORARY)] | None = None
    """Kept by the admin API: fields that have other values for a while, and what they had before."""
    version: Annotated[int, Field(ge=1, le=MAX_VERSION), INTEGRAL] = 1
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
            require_sensible_limit(where, limit, self.headroom_s, *named_cost)
            if self.states_cost_in_answers and limit.cost is None:
                require_correctable(where, limit)
        require_different_windows(self.all_limits)
        if self.drain is not None:
            drain = self.drain
            require_sensible_quota("drain.", drain.limit, drain.window_seconds, drain.burst, self.headroom_s)
            if drain.burst < cost:
                raise ValueError(f"drain.burst: must be at least {field} ({cost})")
        return self

    @model_validator(mode="after")
    def _sensible_at_any_time(self) -> Self:
        """The rule is valid in each window of its schedule."""
        fields = self.model_dump(exclude_defaults=True, exclude={"schedule", "temporary"})
        for number, window in enumerate(self.schedule or ()):
            try:
                Rule.model_validate(fields | window.fields, context={PLAIN_SECRETS: True})
            except ValidationError as error:
                raise ValueError(f"schedule.{number}: {first_problem(error)}") from error
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
"""What the admin API notes of a change. It is no content of the rule."""

READ_ONLY_FIELDS = STORE_FIELDS | {"temporary", "in_force"}
"""The fields that the admin API maintains, or only shows. Nobody else can set them."""


def editable_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a rule without those that the admin API maintains."""
    return {name: value for name, value in fields.items() if name not in READ_ONLY_FIELDS}


def to_json(rule: Rule) -> dict[str, Any]:
    """Write a rule as the admin API and rules files show it: fields at their defaults are left out."""
    fields = rule.model_dump(mode="json", exclude_defaults=True)
    return fields | {"version": rule.version}
