"""What a flow must know of its rule: the last arguments of enqueue.lua, encoded once for each version of a rule."""

from functools import lru_cache

from app.redis_wire.resp import bulks
from app.rules.active import ActiveRule

FLOW_PARAMETERS = 9
"""The number of arguments that `flow_parameters` encodes."""

CACHE_SIZE = 4096


@lru_cache(CACHE_SIZE)
def flow_parameters(rule: ActiveRule) -> bytes:
    """Encode the rule's queue options, pacing and snapshot as bulk strings, in the order of enqueue.lua."""
    queue = rule.queue
    return bulks((
        int(queue.max_wait_seconds * 1000), queue.max_attempts, queue.result_ttl_seconds * 1000,
        queue.dead_letter_ttl_seconds * 1000, queue.max_depth, rule.drain_interval_us, rule.priority, rule.revision,
        rule.snapshot,
    ))  # fmt: skip
