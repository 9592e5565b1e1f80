"""The messages of the jobs' topic, version 1. Their format is documented for other producers.

Every message has the header `penstock-version`. A message of an edge also has `penstock-job`, the id of a job whose
record is in the queue Redis, and its value is the encoded request. Without that header the value is a JSON object, a
`SubmittedJob`.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.errors import InvalidInput
from app.jobs.model import StoredRequest, is_job_id, owner_of
from app.limiter.keys import descriptor
from app.queue.model import Deferral, FrozenCharge
from app.rules.active import ActiveRule
from app.rules.cost import stated_cost
from app.rules.field_types import RuleId, Token
from app.web.headers import Headers, to_store, to_upstream
from app.web.validation import first_problem

VERSION = "penstock-version"
JOB = "penstock-job"
CURRENT = b"1"

_LOCATION, _PRODUCERS_KEY = "kafka\0at\0", "kafka\0key\0"
"""What keys of the intake begin with. An `Idempotency-Key` of a client has no NUL, so that neither can name the other's
job.
"""

_DESCRIPTOR = r"^(user|ip|(claim|header):[A-Za-z0-9_:./~%-]+):[A-Za-z0-9@:._+/=~,!%-]+$"

MessageHeaders = Sequence[tuple[str, bytes | None]]
"""Kafka allows headers without a value."""

HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\t\x20-\x7e\x80-\xff]*$", max_length=65_536)]


class UnreadableMessage(InvalidInput):
    """A message that does not follow the format; the text says why."""


class SubmittedJob(BaseModel):
    """A job that another producer wrote to the topic."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    rule_id: RuleId
    descriptor: Annotated[str, Field(pattern=_DESCRIPTOR, max_length=400)]
    method: Token
    target: Annotated[str, Field(pattern=r"^/[\x21-\x7e]*$", max_length=16_384)]
    headers: Annotated[list[Annotated[list[str], Field(min_length=2, max_length=2)]], Field(max_length=256)] = []
    body: str | None = None
    body_base64: str | None = None
    issuer: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    subject: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    idempotency_key: Annotated[str, Field(min_length=1, max_length=255)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.body is not None and self.body_base64 is not None:
            raise ValueError("body and body_base64 exclude each other")
        if (self.issuer is None) != (self.subject is None):
            raise ValueError("issuer and subject must be given together")
        return self

    def deferral(self, rule: ActiveRule, location: str) -> Deferral:
        """The deferral that an edge would have made of this request. Each attempt costs the rule's own quota only.

        `location` names the message, and is the idempotency key where the message has none: a message that is read
        twice is one job. The keys of messages and those of clients are apart from each other. Raises UnreadableMessage.
        """
        stated = stated_cost(rule, self._headers()) if rule.cost_header else None
        return Deferral(
            rule=rule,
            charges=(FrozenCharge(rule.rule_id, self.descriptor, rule.cost if stated is None else stated),),
            owner=owner_of(self.issuer, self.subject),
            request=self.request(rule.queue.drop_headers, rule.secret_headers),
            caller="" if self.subject is None else descriptor("user", self.subject),
            idempotency_key=f"{_PRODUCERS_KEY}{self.idempotency_key}" if self.idempotency_key else _LOCATION + location,
        )

    def request(self, drop_headers: Sequence[str], secret: Sequence[str] = ()) -> StoredRequest:
        """The request, without the headers that are never stored. Raises UnreadableMessage."""
        forwarded = to_upstream(self._headers(), client="kafka", scheme="http", trusted=False)
        # There is no client address to report.
        kept = to_store(
            [header for header in forwarded if header[0] != b"x-forwarded-for"], drop_headers, secret=secret
        )
        subject = (self.issuer, self.subject) if self.issuer is not None and self.subject is not None else None
        return StoredRequest(self.method, self.target.encode("ascii"), kept, self._body(), subject)

    def _headers(self) -> Headers:
        valid = map(_header, self.headers)
        return [(header.name.lower().encode("latin-1"), header.value.encode("latin-1")) for header in valid]

    def _body(self) -> bytes:
        if self.body_base64 is None:
            return (self.body or "").encode()
        try:
            return base64.b64decode(self.body_base64, validate=True)
        except binascii.Error as error:
            raise UnreadableMessage(f"body_base64: {error}") from error


class _Header(BaseModel):
    name: HeaderName
    value: HeaderValue


def _header(pair: list[str]) -> _Header:
    try:
        return _Header(name=pair[0], value=pair[1])
    except ValidationError as error:
        raise UnreadableMessage(f"headers: {error.errors()[0]['msg']}") from error


@dataclass(frozen=True, slots=True)
class RecordedJob:
    """A message of an edge, which has written the job's record already. `stored`: the encoded request."""

    job_id: str
    stored: bytes


def message_headers(job_id: str) -> list[tuple[str, bytes]]:
    """The headers of an edge's message."""
    return [(VERSION, CURRENT), (JOB, job_id.encode())]


def read_message(headers: MessageHeaders, value: bytes | None, partitions: int) -> RecordedJob | SubmittedJob:
    """Parse a message. `partitions`: how many the queue Redis has. Raises UnreadableMessage."""
    named = dict(headers)
    if named.get(VERSION) != CURRENT:
        raise UnreadableMessage(f"the header {VERSION} is not 1")
    if value is None:
        raise UnreadableMessage("the message has no value")
    if JOB not in named:
        return _submitted_job(value)
    job_id = (named[JOB] or b"").decode("latin-1")
    if not is_job_id(job_id, partitions):
        raise UnreadableMessage(f"the header {JOB} is not a job's id")
    return RecordedJob(job_id, value)


def _submitted_job(value: bytes) -> SubmittedJob:
    try:
        return SubmittedJob.model_validate_json(value)
    except ValidationError as error:
        raise UnreadableMessage(first_problem(error)) from error
