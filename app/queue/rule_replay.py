"""Replays all dead letters of a rule, the oldest first, a bounded number at a time."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from app.errors import Conflict, InvalidInput, NotFound
from app.queue import keys
from app.redis_wire.scripts import Argument, Scripts

MAX_REPLAYED = 1000
"""How many dead letters one call replays at most, and refusals of single ones count."""

MAX_LOOKED_AT = 20_000
"""How many dead letters, of whichever rules, one call looks at before it replays what it found."""

LOOK_PAGE_SIZE = 100
CURSOR = r"^[0-9]{1,16}-[0-9]{1,4}-[0-9]{1,16}-[0-9]{1,9}$"
_CURSOR = re.compile(CURSOR[1:-1])

Replay = Callable[[str], Awaitable[None]]
"""Replays one job. Raises NotFound and Conflict."""


class _Place(NamedTuple):
    """How far a replay has come. What failed after `until_us`, its beginning, is not part of it: a job that was
    replayed and failed again is not replayed twice. 0 stands for a beginning that the queue's clock will say.

    `skip`: how many dead letters that failed at `failed_us` stay dead.
    """

    until_us: int = 0
    partition: int = 0
    failed_us: int = 0
    skip: int = 0

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """The place that a cursor stands for. Raises InvalidInput."""
        if _CURSOR.fullmatch(cursor) is None:
            raise InvalidInput("This is no cursor of a replay.")
        return cls(*map(int, cursor.split("-")))

    @property
    def cursor(self) -> str:
        return "-".join(map(str, self))

    def after(self, failed_us: int) -> Self:
        """The place behind a dead letter that stays dead."""
        return self._replace(failed_us=failed_us, skip=self.skip + 1 if failed_us == self.failed_us else 1)


@dataclass(slots=True)
class ReplayedPage:
    """How many were replayed, why others were not, by id, and the cursor for the rest; None: nothing is left."""

    replayed: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    next: str | None = None

    @property
    def full(self) -> bool:
        """Whether the rest is for the next call."""
        return self.replayed + len(self.problems) >= MAX_REPLAYED


async def replay_rule(
    scripts: Scripts, partitions: int, rule_id: str, cursor: str | None, replay: Replay
) -> ReplayedPage:
    """Replay up to MAX_REPLAYED dead letters of a rule. Raises InvalidInput for what is no cursor."""
    page, place, looked_at = ReplayedPage(), _Place() if cursor is None else _Place.parse(cursor), 0
    while place.partition < partitions:
        if page.full or looked_at >= MAX_LOOKED_AT:
            page.next = place.cursor
            break
        arguments: list[Argument] = [rule_id, place.failed_us, place.skip, place.until_us or "", LOOK_PAGE_SIZE]
        until_us, more, *fields = await scripts.call("replayable", [keys.prefix(place.partition)], arguments)
        place = await _replay_rows(place._replace(until_us=int(until_us)), fields, page, replay)
        looked_at += LOOK_PAGE_SIZE
        if not more and not page.full:
            place = _Place(place.until_us, place.partition + 1)
    return page


async def _replay_rows(place: _Place, fields: Sequence[Any], page: ReplayedPage, replay: Replay) -> _Place:
    """Replay what is of the rule until the page is full, and return the place behind the last one looked at."""
    for at in range(0, len(fields), 3):
        job_id, failed_us, of_rule = fields[at].decode(), int(float(fields[at + 1])), fields[at + 2]
        if page.full:
            return place
        if not of_rule:
            place = place.after(failed_us)
            continue
        try:
            await replay(job_id)
            page.replayed += 1
        except (NotFound, Conflict) as error:
            page.problems[job_id] = str(error)
            place = place.after(failed_us)
    return place
