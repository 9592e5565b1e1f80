"""The part of a rule that says how its jobs wait."""

from typing import Annotated, Literal

from pydantic import Field

from app.rules.bounds import DAY_S
from app.rules.field_types import INTEGRAL, HostName, Seconds, StrictModel, Token


class QueueOptions(StrictModel):
    """How a rule's jobs wait and how long their results are kept, and what happens if they can't be sent."""

    max_depth: Annotated[int, Field(ge=1, le=10_000_000), INTEGRAL] = 1000
    """Jobs of one flow that are not final, those that back off included; a further request is answered 429."""
    max_bytes: Annotated[int, Field(ge=1, le=1 << 40), INTEGRAL] = 64 << 20
    """Bytes of the requests of one flow whose jobs are not final; a further request is answered 429."""
    max_wait_seconds: Seconds = 3600
    """How long a job may wait until it fails with `expired`. A request whose ETA is later is answered 429."""
    max_attempts: Annotated[int, Field(ge=1, le=100), INTEGRAL] = 5
    """Attempts until a job fails with `attempts_exhausted`."""
    result_ttl_seconds: Annotated[int, Field(ge=1, le=30 * DAY_S), INTEGRAL] = 3600
    """How long a finished job and its response are kept."""
    dead_letter_ttl_seconds: Annotated[int, Field(ge=1, le=366 * DAY_S), INTEGRAL] = 30 * DAY_S
    """How long a failed job is kept."""
    overtaking: bool | None = None
    """Whether live requests may pass the jobs that wait in the flow. Default: `false` with the shared budget, `true`
    with a drain rate of its own.
    """
    on_delete: Literal["drain", "reject"] = "drain"
    """What happens to waiting jobs when the rule is deleted or disabled: `drain` sends them at the last rate, `reject`
    fails them with `rule_deleted`.
    """
    keep_credentials: bool = False
    """Store `Authorization`, `Cookie` and `X-Api-Key` with a job, encrypted. Needs `PENSTOCK_ENVELOPE_KEYS`."""
    drop_headers: Annotated[list[Token], Field(max_length=64)] = []  # noqa: RUF012 - pydantic copies it
    """Further headers that are not stored with a job."""
    callback_hosts: Annotated[list[HostName], Field(max_length=64)] = []  # noqa: RUF012 - pydantic copies it
    """Accepted, but without effect in this version."""
