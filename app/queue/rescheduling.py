"""Rescheduling: what becomes of waiting flows when a rule that they are charged for changes, or an operator decides."""

from app.queue import keys
from app.queue.flow_parameters import pace
from app.redis_wire.scripts import Argument, Scripts
from app.rules.active import ActiveRule

RESCHEDULED_AT_ONCE = 100


async def reschedule(scripts: Scripts, partitions: int, rule_id: str, rule: ActiveRule | None) -> None:
    """A rule changed, or went (None): its flows are worth a look when the new rate allows one.

    Raises QueueUnavailable.
    """
    arguments: list[Argument] = ["", "", "", "", "", 0]
    if rule is not None:
        defers = int(rule.on_limit == "defer")
        arguments = [rule.revision, rule.priority, rule.snapshot, rule.drain_interval_us, pace(rule), defers]
    for partition in range(partitions):
        cursor: bytes | str = "0"
        while True:
            page: list[Argument] = [rule_id, cursor, RESCHEDULED_AT_ONCE, *arguments]
            cursor, _ = await scripts.call("reschedule", [keys.prefix(partition)], page)
            if cursor == b"0":
                break


async def set_paused(scripts: Scripts, partitions: int, rule_id: str, *, paused: bool) -> bool:
    """Pause or resume the flows of a rule that is deleted or disabled. False: it has none. Raises QueueUnavailable."""
    known = [
        await scripts.call("set_paused", [keys.prefix(partition)], [rule_id, int(paused)])
        for partition in range(partitions)
    ]
    if any(known) and not paused:
        await reschedule(scripts, partitions, rule_id, None)
    return any(known)
