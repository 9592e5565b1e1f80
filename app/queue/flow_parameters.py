"""What a flow must know of its rule: arguments of enqueue.lua and replay.lua."""

from functools import lru_cache

from app.redis_wire.resp import bulks
from app.redis_wire.scripts import Argument
from app.rules.active import ActiveRule

FLOW_PARAMETERS = 11
"""The number of arguments that `flow_parameters` encodes."""

CACHE_SIZE = 4096


def flow_arguments(rule: ActiveRule) -> tuple[Argument, ...]:
    """The rule's queue options, pacing and snapshot, in the order of enqueue.lua."""
    queue = rule.queue
    return (
        int(queue.max_wait_seconds * 1000), queue.max_attempts, queue.result_ttl_seconds * 1000,
        queue.dead_letter_ttl_seconds * 1000, queue.max_depth, queue.max_bytes, rule.drain_interval_us, rule.priority,
        rule.revision, rule.snapshot, pace(rule),
    )  # fmt: skip


@lru_cache(CACHE_SIZE)
def flow_parameters(rule: ActiveRule) -> bytes:
    """`flow_arguments` as bulk strings."""
    return bulks(flow_arguments(rule))


def pace(rule: ActiveRule) -> str:
    """What besides the rate decides when a flow may go on: which counter it drains from, and how much that may owe."""
    kind, (policy, *others) = "drain" if rule.has_own_drain_rate else "live", rule.drain_policies
    besides = [f" {one.limit}/{one.counted_window_us:g} {one.algorithm} {one.burst}" for one in (policy, *others)]
    return f"{kind} {policy.algorithm} {policy.burst} {rule.cost}" + "".join(besides if others else ())
