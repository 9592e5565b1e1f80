"""A rule in the form made for reading: what the cache Redis holds and what edges and workers decide by."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from app.limiter.policy import Policy
from app.redis_wire.resp import bulks
from app.rules.model import Drain, QueueOptions, Rule

FLOW_PARAMETERS = 9


@dataclass(frozen=True)
class ActiveRule:
    """An enabled rule as edges and workers see it. `revision` orders its versions by MongoDB's cluster time."""

    rule: Rule
    revision: int

    @property
    def rule_id(self) -> str:
        """The rule's id."""
        return self.rule.rule_id

    @property
    def queue(self) -> QueueOptions:
        """How its deferred requests wait."""
        return self.rule.queue

    @cached_property
    def policy(self) -> Policy:
        """The quota of live requests."""
        rule = self.rule
        return Policy(rule.limit, rule.window_seconds, rule.effective_burst, self.revision, rule.algorithm)

    @cached_property
    def policy_item(self) -> bytes:
        """As `RateLimit-Policy` names it: `"rule-id";q=100;w=60`, without `w` where the window is no whole number."""
        policy = self.policy
        window = f";w={policy.window_s:.0f}" if policy.window_s == int(policy.window_s) else ""
        return f'"{self.rule_id}";q={policy.limit}{window}'.encode()

    @cached_property
    def limit_item(self) -> bytes:
        """What `RateLimit` begins with, up to how much remains: `"rule-id";r=`."""
        return f'"{self.rule_id}";r='.encode()

    @cached_property
    def drain_policy(self) -> Policy:
        """The quota of the flow: its own drain rate, else the rule's budget."""
        drain: Drain | None = self.rule.drain
        if drain is None:
            return self.policy
        return Policy(drain.limit, drain.window_seconds, drain.burst, self.revision, "gcra")

    @cached_property
    def drain_interval_us(self) -> int:
        """Between two jobs of a flow at its drain rate, rounded up."""
        return math.ceil(self.drain_policy.emission_interval_us * self.rule.cost)

    @cached_property
    def snapshot(self) -> bytes:
        """The rule as its flows remember it: `encode_active` as JSON."""
        return orjson.dumps(encode_active(self.rule, self.revision))

    @cached_property
    def flow_parameters(self) -> bytes:
        """What a flow must know of it with each job: the last FLOW_PARAMETERS arguments of enqueue.lua."""
        rule, queue = self.rule, self.rule.queue
        return bulks((
            int(queue.max_wait_seconds * 1000), queue.max_attempts, queue.result_ttl_seconds * 1000,
            queue.dead_letter_ttl_seconds * 1000, queue.max_depth, self.drain_interval_us, rule.priority, self.revision,
            self.snapshot,
        ))  # fmt: skip

    @cached_property
    def methods(self) -> frozenset[str]:
        """The methods that it is about; empty means all."""
        return frozenset(self.rule.match.methods or ())


def encode_active(rule: Rule, revision: int) -> dict[str, Any]:
    """The compact form: defaults left out, `window_seconds` as `window`."""
    fields = rule.model_dump(mode="json", exclude_defaults=True, exclude={"version", "updated_at", "updated_by"})
    fields["window"] = fields.pop("window_seconds")
    return {**fields, "revision": revision}


def decode_active(fields: dict[str, Any]) -> ActiveRule:
    """The inverse of `encode_active`."""
    rest = {name: value for name, value in fields.items() if name not in {"window", "revision"}}
    return ActiveRule(Rule.model_validate({**rest, "window_seconds": fields["window"]}), fields["revision"])


def decode_bucket(data: bytes | None) -> tuple[ActiveRule, ...]:
    """The rules of one key (`rule:<key_type>:<key_value>`), first to apply first."""
    return () if data is None else tuple(decode_active(fields) for fields in orjson.loads(data))
