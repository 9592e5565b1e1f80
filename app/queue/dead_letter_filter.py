"""Which dead letters are meant, and places in their sets."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints

from app.errors import InvalidInput
from app.redis_wire.scripts import Argument
from app.rules.field_types import INTEGRAL, RuleId, StrictModel
from app.web.timestamps import Timestamp, unix_us

FailureCode = Literal["attempts_exhausted", "expired", "rule_deleted"]

MAX_DESCRIPTOR_LENGTH = 2048
LATEST_US = 2**53 - 1
"""The latest time that a score of a sorted set tells exactly."""

PLACE_PATTERN = "[0-9]{1,4}(-[0-9]{1,16}-[0-9a-f]{1,3}-[A-Za-z0-9_-]{22})?"
_PLACE = re.compile(PLACE_PATTERN)

Descriptor = Annotated[str, StringConstraints(min_length=1, max_length=MAX_DESCRIPTOR_LENGTH)]
ResponseStatus = Annotated[int, Field(ge=100, le=599), INTEGRAL]


class DeadLetterFilter(StrictModel):
    """Selects dead letters; all that is given must be so, and an empty filter selects all of them."""

    rule_id: RuleId | None = None
    """The rule that deferred the job."""
    descriptor: Descriptor | None = None
    """Who was counted by that rule, such as `user:alice`."""
    code: FailureCode | None = None
    """Why the job failed."""
    response_status: ResponseStatus | None = None
    """The status of the app server's last answer."""
    failed_after: Timestamp | None = None
    """The job failed at this time or later."""
    failed_before: Timestamp | None = None
    """The job failed before this time."""

    def arguments(self, latest_us: int = LATEST_US) -> list[Argument]:
        """The filter as scripts take it (app/queue/lua/_dead_letters.lua), of jobs that failed until `latest_us`."""
        until_us = latest_us if self.failed_before is None else min(latest_us, unix_us(self.failed_before) - 1)
        since_us = 0 if self.failed_after is None else min(LATEST_US, unix_us(self.failed_after))
        return [
            self.rule_id or "",
            self.descriptor or "",
            self.code or "",
            self.response_status or "",
            since_us,
            max(0, until_us),
        ]


@dataclass(frozen=True, slots=True)
class DeadLetterPlace:
    """A place in the sets of dead letters, one of each partition: behind a job that failed then, or at the beginning.

    As text it is a cursor.
    """

    partition: int = 0
    failed_us: int = 0
    job_id: str = ""

    def __str__(self) -> str:
        return f"{self.partition}-{self.failed_us}-{self.job_id}" if self.job_id else str(self.partition)

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Read a cursor. Raises InvalidInput."""
        if _PLACE.fullmatch(cursor) is None:
            raise InvalidInput("This is no cursor of dead letters.")
        partition, _, behind = cursor.partition("-")
        failed_us, _, job_id = behind.partition("-")
        return cls(int(partition), int(failed_us or 0), job_id)

    def behind(self, failed_us: bytes, job_id: bytes) -> Self:
        """The place behind a dead letter of the same partition, as a script returns it."""
        return self if not job_id else type(self)(self.partition, int(float(failed_us)), job_id.decode())

    @property
    def next_partition(self) -> Self:
        """The beginning of the next partition."""
        return type(self)(self.partition + 1)
