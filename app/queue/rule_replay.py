"""Replays the dead letters of a rule, the oldest first, a bounded number in one request."""

import re
from dataclasses import dataclass, field

from app.errors import InvalidInput
from app.queue.batches import Batch
from app.queue.dead_letter_batches import MAX_BATCH, DeadLetterBatches
from app.queue.dead_letter_filter import PLACE_PATTERN, DeadLetterFilter, DeadLetterPlace
from app.rules.active import ActiveRule

MAX_REPLAYED = 1000
"""How many dead letters one request replays at most, and refusals of single ones count."""

MAX_LOOKED_AT = 20_000
"""How many dead letters, of whichever rules, one request looks at before it replays what it found."""

CURSOR = f"^[0-9]{{1,16}}-{PLACE_PATTERN}$"
_CURSOR = re.compile(CURSOR[1:-1])
PROBLEMS = {
    "request_lost": "The request of the job is no longer stored.",
    "rule_not_in_force": "The rule of the job is deleted or disabled.",
}


@dataclass(slots=True)
class ReplayedPage:
    """How many were replayed, why others were not, by id, and the cursor for the rest; None: nothing is left."""

    replayed: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    next: str | None = None


async def replay_rule(batches: DeadLetterBatches, rule: ActiveRule, cursor: str | None) -> ReplayedPage:
    """Replay up to MAX_REPLAYED dead letters of a rule. Raises InvalidInput for what is no cursor.

    What failed after the first request is not replayed, so that a job which was replayed and failed again is not
    replayed twice.
    """
    wanted, page, looked_at = DeadLetterFilter(rule_id=rule.rule_id), ReplayedPage(), 0
    until_us, place = await _place(batches, wanted, cursor)
    while looked_at < MAX_LOOKED_AT:
        limit = min(MAX_BATCH, MAX_REPLAYED - page.replayed - len(page.problems))
        if limit == 0:
            break
        result = await batches.replay(wanted, until_us, place, Batch("", 0, limit), {rule.rule_id: rule})
        assert result is not None, "what belongs to no operation cannot be late"
        page.replayed += result.done
        page.problems |= {job_id: PROBLEMS[why] for job_id, why in result.problems.items()}
        looked_at += result.looked_at
        if result.next is None:
            return page
        place = DeadLetterPlace.parse(result.next)
    page.next = f"{until_us}-{place}"
    return page


async def _place(
    batches: DeadLetterBatches, wanted: DeadLetterFilter, cursor: str | None
) -> tuple[int, DeadLetterPlace]:
    """Until when what is replayed has failed, and where to go on."""
    if cursor is None:
        return (await batches.count(wanted, 0)).now_us, DeadLetterPlace()
    if _CURSOR.fullmatch(cursor) is None:
        raise InvalidInput("This is no cursor of a replay.")
    until_us, _, place = cursor.partition("-")
    return int(until_us), DeadLetterPlace.parse(place)
