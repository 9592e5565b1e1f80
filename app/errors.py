"""The errors of Penstock. Each class has the HTTP status of the response that it becomes.

PenstockError (500)
├── InvalidInput (400)
│   ├── InvalidRule (422)
│   ├── MalformedRequest (400)
│   ├── MethodNotAllowed (405)
│   ├── RequestTooSlow (408)
│   ├── BodyTooLarge (413)
│   ├── TargetTooLong (414)
│   ├── HeadTooLarge (431)
│   ├── UnsupportedMediaType (415)
│   └── NotSupported (501)
├── Unauthenticated (401)
├── Forbidden (403)
│   └── Blocked               by a rule with the action `block`
├── NotFound (404)
├── Conflict (409)
│   ├── PreconditionFailed (412)
│   └── IdempotencyConflict (422)
├── TooManyRequests (429)
├── ClientGone (499)          never sent; the status appears in logs and metrics
├── Unavailable (503)
│   ├── RulesUnavailable
│   ├── AuditUnavailable
│   ├── CountersUnavailable
│   ├── QueueUnavailable
│   ├── IssuerUnavailable
│   ├── SignInUnavailable
│   └── TooManyConnections
├── IssuerError (502)         the issuer's answer to a sign-in is not usable
├── UpstreamError (502)
│   ├── UpstreamRefused       no connection, so nothing of the request was sent
│   │   └── UpstreamCircuitOpen  all circuit breakers are open, so no connection was tried
│   ├── UpstreamCut           the request was sent, and the connection ended before the response did
│   │   └── UpstreamReset        and before any of the response was received
│   └── UpstreamTimeout (504)
├── AdminRefusal              the admin API refused what a command asked for
└── StartupError              a process cannot start
    └── NotRunning            because nothing runs in the data directory
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar


class PenstockError(Exception):
    """The base class of all errors that Penstock raises. Their texts are written for the person who caused them."""

    status: ClassVar[int] = HTTPStatus.INTERNAL_SERVER_ERROR


class InvalidInput(PenstockError):
    """The input cannot be understood or is not allowed."""

    status = HTTPStatus.BAD_REQUEST


class InvalidRule(InvalidInput):
    """A rule is invalid; the text names the field and what is allowed."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class MalformedRequest(InvalidInput):
    """An HTTP request is malformed or ambiguous."""


class MethodNotAllowed(InvalidInput):
    """The method is not supported; `allow` lists those that are, as the `Allow` header does."""

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class RequestTooSlow(InvalidInput):
    """The client did not send the request in time."""

    status = HTTPStatus.REQUEST_TIMEOUT


class BodyTooLarge(InvalidInput):
    """The body of a request is larger than allowed, or too large to be deferred."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class TargetTooLong(InvalidInput):
    """The target of a request is longer than a whole head may be."""

    status = HTTPStatus.REQUEST_URI_TOO_LONG


class HeadTooLarge(InvalidInput):
    """The headers of a request are too many or too large."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class NotSupported(InvalidInput):
    """The request needs a feature of HTTP that is not supported."""

    status = HTTPStatus.NOT_IMPLEMENTED


class UnsupportedMediaType(InvalidInput):
    """The body has a media type that is not supported."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Unauthenticated(PenstockError):
    """A token is required and missing, or it is not valid (`invalid_token`)."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, message: str, *, invalid_token: bool = False) -> None:
        super().__init__(message)
        self.invalid_token = invalid_token


class Forbidden(PenstockError):
    """The caller is known and not allowed to do this."""

    status = HTTPStatus.FORBIDDEN


class Blocked(Forbidden):
    """A rule blocks the request."""


class NotFound(PenstockError):
    """The resource does not exist, or the caller may not see it."""

    status = HTTPStatus.NOT_FOUND


class Conflict(PenstockError):
    """The state of the resource does not allow the operation."""

    status = HTTPStatus.CONFLICT


class PreconditionFailed(Conflict):
    """The resource has changed since the caller read it (`If-Match`).

    `current` is the resource as it is and `current_etag` its ETag, `based_on` the version that the caller has read;
    None where there is none, or it is not known.
    """

    status = HTTPStatus.PRECONDITION_FAILED

    def __init__(
        self,
        message: str,
        *,
        current: Mapping[str, object] | None = None,
        current_etag: str | None = None,
        based_on: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.current = current
        self.current_etag = current_etag
        self.based_on = based_on


class IdempotencyConflict(Conflict):
    """An idempotency key was reused for a different request."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class TooManyRequests(PenstockError):
    """The caller exceeded a limit that is not one of a rule."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ClientGone(PenstockError):
    """The client closed the connection before it got a response. The status is the one that nginx logs for this."""

    status = 499


class Unavailable(PenstockError):
    """A store cannot be reached or does not respond in time.

    `reason` is a word for metrics and logs: what is unavailable, and the `cause`, such as `timeout`. There are few.
    """

    status = HTTPStatus.SERVICE_UNAVAILABLE
    what: ClassVar[str] = "service"

    def __init__(self, message: str, cause: str = "unreachable") -> None:
        super().__init__(message)
        self.cause = cause

    @property
    def reason(self) -> str:
        """What is unavailable and why, in one word: `counters_timeout`."""
        return f"{self.what}_{self.cause}"


class RulesUnavailable(Unavailable):
    """The rules are not known, which is never treated as "there are no rules"."""

    what = "rules"


class AuditUnavailable(Unavailable):
    """The audit cannot be read or written."""

    what = "audit"


class CountersUnavailable(Unavailable):
    """The counters cannot be reached."""

    what = "counters"


class QueueUnavailable(Unavailable):
    """The queue cannot be reached, or does not accept more jobs."""

    what = "queue"


class IssuerUnavailable(Unavailable):
    """The issuer's keys are not known, or the issuer cannot be reached."""

    what = "issuer"


class SignInUnavailable(Unavailable):
    """Tickets for signing in cannot be stored or read."""

    what = "sign_in"


class TooManyConnections(Unavailable):
    """The process has reached its limit of connections."""

    what = "connections"

    def __init__(self, message: str) -> None:
        super().__init__(message, "too_many")


class IssuerError(PenstockError):
    """The issuer's answer to a sign-in is not usable: it breaks the protocol, or refuses how Penstock is configured."""

    status = HTTPStatus.BAD_GATEWAY


class UpstreamError(PenstockError):
    """The app servers sent no usable response."""

    status = HTTPStatus.BAD_GATEWAY


class UpstreamRefused(UpstreamError):
    """No connection could be established, so nothing of the request was sent."""


class UpstreamCircuitOpen(UpstreamRefused):
    """The circuit breakers of all app servers are open, so no connection was tried."""


class UpstreamCut(UpstreamError):
    """The request was sent, and the connection ended before the response did."""


class UpstreamReset(UpstreamCut):
    """The request was sent and the connection ended before any of the answer came."""


class UpstreamTimeout(UpstreamError):
    """The app server did not respond in time; it may have processed the request."""

    status = HTTPStatus.GATEWAY_TIMEOUT


class AdminRefusal(PenstockError):
    """The admin API refused what a command asked for; `problem` is its answer, `answered` the status."""

    def __init__(self, message: str, answered: int, problem: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.answered = answered
        self.problem = problem


class StartupError(PenstockError):
    """A process cannot start; the text is one line that says what to do about it."""


class NotRunning(StartupError):
    """Nothing runs in the data directory."""
