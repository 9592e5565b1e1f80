"""What the audit is asked, and what it answers: the same for both faces."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from app.audit.entry import MAX_NAME_CHARACTERS, Face
from app.audit.log import CURSOR
from app.web.timestamps import Timestamp

MAX_TARGET_LENGTH = 1024
MAX_PAGE_SIZE = 500


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the time is out of range") from error


Time = Annotated[Timestamp, AfterValidator(_in_utc)]


class AuditQuery(BaseModel):
    """Which entries to list. `after` is the `next` of the page before."""

    actor: Annotated[str | None, Field(max_length=MAX_NAME_CHARACTERS, description="Who: the `sub` of a token.")] = None
    action: Annotated[
        str | None, Field(max_length=64, description="A kind such as `rule`, or one action such as `rule.changed`.")
    ] = None
    target: Annotated[
        str | None, Field(max_length=MAX_TARGET_LENGTH, description="The id of a rule, a flow or a job.")
    ] = None
    since: Annotated[Time | None, Field(description="The first time that counts.")] = None
    until: Annotated[Time | None, Field(description="The first time that does not count.")] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)] = 100
    after: Annotated[str | None, Field(pattern=CURSOR)] = None


class AuditedChange(BaseModel):
    """Who did what. `before` and `after` say what the target was and what it is, without credentials."""

    id: str
    at: datetime
    actor: str
    face: Face = Field(description="`rest` or `grpc`: the face of the admin API. `process`: Penstock did it by itself.")
    action: str
    target: str
    before: Any
    after: Any


class AuditPage(BaseModel):
    """Entries, newest first. `next` is null on the last page."""

    entries: list[AuditedChange]
    next: str | None
