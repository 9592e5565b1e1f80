"""A rule in the form that edges and workers decide by, and its compact JSON form in the cache Redis."""

import math
from collections.abc import Mapping
from typing import Any, Final

import orjson
import structlog
from pydantic import ValidationError

from app.identity.caller import Caller, claim_text
from app.limiter.keys import DRAIN_SUFFIX, PLACES_SUFFIX, window_suffix
from app.limiter.policy import CONCURRENCY, LEASE_S, CostHeader, Policy
from app.rules.key_types import headers_of
from app.rules.limits import RuleLimit
from app.rules.model import WITHOUT_QUOTA, Rule, parse_rule
from app.web.excerpt import excerpt
from app.web.paths import prefix_form
from app.web.validation import first_problem

log = structlog.get_logger()

BACKLOG_MARKER_SLACK_S = 60.0

_CHANGES_BY_ITSELF: Final = frozenset({"schedule", "temporary"})
"""Fields that say when a rule changes by itself. Sync publishes what is in force, so no decision reads them; and a time
zone that this machine does not know must not make a rule unusable."""


class ActiveRule:
    """An enabled rule; `revision` orders the versions of a rule by MongoDB's cluster time.

    What decisions read of the rule is an attribute here, so that reading it costs no more than that. A changed rule is
    another object, so caches may use the object itself as their key. `cost` is that of requests that state none.

    Without `has_quota` the rule blocks or allows: it has no policies, and nothing is charged to it.

    `unread` are fields that `rule` lacks although it has been published with them.
    """

    def __init__(self, rule: Rule, revision: int, unread: Mapping[str, Any] | None = None) -> None:
        self.rule: Final = rule
        self.unread: Final = unread or {}
        self.revision: Final = revision
        self.rule_id: Final = rule.rule_id
        self.cost: Final = rule.default_cost
        self.max_cost: Final = rule.max_cost
        self.cost_header: Final = _cost_header(rule)
        self.stated_in: Final = _stated_in(rule)
        self.priority: Final = rule.priority
        self.action: Final = rule.action
        self.has_quota: Final = rule.action not in WITHOUT_QUOTA
        self.blocks: Final = rule.action == "block" and not rule.shadow
        self.exempts: Final = rule.action == "allow" and not rule.shadow
        self.always_defers: Final = rule.action == "defer" and not rule.shadow
        self.on_limit: Final = "defer" if rule.action == "defer" else rule.on_limit
        self.on_store_failure: Final = rule.on_store_failure
        self.shadow: Final = rule.shadow
        self.paused: Final = rule.paused
        self.queue: Final = rule.queue
        self.overtaking: Final = rule.overtaking or rule.action == "defer"  # then no request passes those that wait
        self.methods: Final = _methods(rule)
        self.claims: Final = _claims(rule)
        self.anonymous: Final = rule.match.anonymous
        self.secret_headers: Final = headers_of(rule.key_type) if rule.secret else ()
        self.path_prefix: Final = None if rule.match.path_prefix is None else prefix_form(rule.match.path_prefix)
        self.policies: Final = _policies(rule, revision)
        self.has_own_drain_rate: Final = rule.drain is not None
        self.drain_policies: Final = _drain_policies(rule, revision) or self.policies
        self._snapshot: bytes | None = None

    def is_about(self, caller: Caller) -> bool:
        """Whether the rule may apply to this caller's requests: by the token and its claims, not by the key."""
        if self.anonymous is not None and self.anonymous != (caller.subject is None):
            return False
        return all(claim_text(caller.claims.get(name)) in values for name, values in self.claims)

    @property
    def rejects(self) -> bool:
        """Whether the rule refuses what is over its limit; a shadow rule never does."""
        return self.on_limit == "reject" and not self.shadow

    @property
    def defers(self) -> bool:
        """Whether the rule defers what is over its limit; a shadow rule never does."""
        return self.on_limit == "defer" and not self.shadow

    @property
    def drain_interval_us(self) -> int:
        """Microseconds between two jobs of a flow at its drain rate, rounded up; at the highest rate of several."""
        rates = [policy for policy in self.drain_policies if not policy.limits_concurrency]
        return math.ceil(min((policy.emission_interval_us for policy in rates), default=0) * self.cost)

    @property
    def backlog_marker_ttl_s(self) -> float:
        """How long a backlog marker stands if nobody renews it: longer than anything may wait in a flow of the rule."""
        return self.queue.max_wait_seconds + BACKLOG_MARKER_SLACK_S

    def whole_rule(self) -> Rule:
        """Return the rule with its schedule and its temporary values. Raises InvalidRule."""
        return parse_rule({**self.rule.model_dump(exclude_defaults=True), **self.unread}) if self.unread else self.rule

    @property
    def snapshot(self) -> bytes:
        """The rule as JSON (`encode_active`), which its flows keep for when the rule has been deleted."""
        if self._snapshot is None:
            self._snapshot = orjson.dumps(encode_active(self.rule, self.revision))
        return self._snapshot


def _cost_header(rule: Rule) -> bytes:
    """The header by which requests state their cost, in lower case; empty where they do not."""
    header = None if isinstance(rule.cost, int) else rule.cost.header
    return b"" if header is None else header.lower().encode()


def _stated_in(rule: Rule) -> CostHeader | None:
    """In what of an answer its request's real cost is stated; None where it is not."""
    if isinstance(rule.cost, int) or rule.cost.response_header is None:
        return None
    return CostHeader(rule.cost.response_header.lower().encode(), rule.cost.expose)


def _methods(rule: Rule) -> frozenset[str]:
    """The methods that the rule is about, HEAD with GET; none means every method."""
    methods = frozenset(rule.match.methods or ())
    return methods | {"HEAD"} if "GET" in methods else methods


def _claims(rule: Rule) -> tuple[tuple[str, frozenset[str | None]], ...]:
    """The claims that a caller must have, with the texts of their values (`claim_text`)."""
    required = (rule.match.claims or {}).items()
    return tuple((name, frozenset(map(claim_text, of if isinstance(of, list) else [of]))) for name, of in required)


def _policies(rule: Rule, revision: int) -> tuple[Policy, ...]:
    """The quotas of live requests, the one with the longest window first: it has the rule's own counter."""
    if rule.action in WITHOUT_QUOTA:
        return ()
    limits = rule.all_limits
    longest = max((limit for limit in limits if limit.cost is None), key=_window_s, default=None)
    policies = [
        Policy(
            limit.limit, limit.window_seconds, limit.effective_burst, revision, limit.algorithm,
            name=rule.rule_id if number == 1 else f"{rule.rule_id}:{number}",
            suffix="" if limit is longest else window_suffix(limit.window_seconds, has_own_cost=limit.cost is not None),
            has_siblings=len(limits) > 1,
            cost=limit.cost,
            headroom_ms=rule.headroom_ms,
        )
        for number, limit in enumerate(limits, 1)
    ]  # fmt: skip
    policies.sort(key=lambda policy: (policy.suffix != "", -policy.window_s))
    return (*policies, *_concurrency(rule.rule_id, rule.concurrency, revision, PLACES_SUFFIX))


def _window_s(limit: RuleLimit) -> float:
    return limit.window_seconds


def _concurrency(rule_id: str, concurrency: int | None, revision: int, suffix: str) -> tuple[Policy, ...]:
    """The quota of requests in flight, if there is one."""
    if concurrency is None:
        return ()
    policy = Policy(
        concurrency, LEASE_S, concurrency, revision, CONCURRENCY, name=f"{rule_id}:concurrency", suffix=suffix, cost=1
    )
    return (policy,)


def _drain_policies(rule: Rule, revision: int) -> tuple[Policy, ...]:
    """The quotas of the rule's own drain rate; none where its flows drain from the rule's budget."""
    drain, rule_id = rule.drain, rule.rule_id
    if drain is None:
        return ()
    places = (
        *_concurrency(rule_id, rule.concurrency, revision, PLACES_SUFFIX),
        *_concurrency(rule_id, drain.concurrency, revision, DRAIN_SUFFIX + PLACES_SUFFIX),
    )
    rate = (drain.limit, drain.window_seconds, drain.burst)
    own = Policy(*rate, revision, "gcra", name=rule_id, suffix=DRAIN_SUFFIX, headroom_ms=rule.headroom_ms)
    return (own, *places)


def encode_active(rule: Rule, revision: int) -> dict[str, Any]:
    """The compact form: fields at their defaults are left out, and `window_seconds` is called `window`."""
    fields = rule.model_dump(mode="json", exclude_defaults=True, exclude={"version", "updated_at", "updated_by"})
    if "window_seconds" in fields:
        fields["window"] = fields.pop("window_seconds")
    return {**fields, "revision": revision}


def decode_active(fields: dict[str, Any]) -> ActiveRule:
    """Read what `encode_active` wrote."""
    unread = {name: fields[name] for name in _CHANGES_BY_ITSELF if name in fields}
    rest = {name: value for name, value in fields.items() if name not in {"window", "revision", *unread}}
    if "window" in fields:
        rest["window_seconds"] = fields["window"]
    return ActiveRule(Rule.model_validate(rest), fields["revision"], unread)


def decode_bucket(data: bytes | None) -> tuple[ActiveRule, ...]:
    """Read the rules of one key (`rule:<key_type>:<key_value>`), which are stored in their order of precedence.

    A rule that this version finds invalid is left out, so that it stops no other; sync names it to operators.
    """
    rules = []
    for fields in () if data is None else orjson.loads(data):
        try:
            rules.append(decode_active(fields))
        except (ValidationError, KeyError) as error:
            problem = first_problem(error) if isinstance(error, ValidationError) else f"{error} is missing"
            log.error("rule_unusable", rule_id=excerpt(str(fields.get("rule_id")), 64), error=excerpt(problem))
    return tuple(rules)
