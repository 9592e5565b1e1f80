"""Every error of Penstock, as one tree; each class carries the HTTP status that it becomes at a boundary.

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
├── NotFound (404)
├── Conflict (409)
│   ├── PreconditionFailed (412)
│   └── IdempotencyConflict (422)
├── TooManyRequests (429)
├── ClientGone (499)          nobody is told
├── Unavailable (503)
│   ├── RulesUnavailable
│   ├── CountersUnavailable
│   ├── QueueUnavailable
│   └── TooManyConnections
├── UpstreamError (502)
│   ├── UpstreamRefused       no connection, so nothing of the request was sent
│   │   └── UpstreamCircuitOpen   no connection was tried, because all circuit breakers are open
│   ├── UpstreamCut           sent, and the connection ended before the answer did
│   │   └── UpstreamReset         sent, and the connection ended before any of the answer came
│   └── UpstreamTimeout (504)
└── StartupError              a process cannot start; one line for the person who started it
"""

from http import HTTPStatus
from typing import ClassVar


class PenstockError(Exception):
    """Anything that Penstock raises on purpose. Its text is meant for the person who caused it."""

    status: ClassVar[int] = HTTPStatus.INTERNAL_SERVER_ERROR


class InvalidInput(PenstockError):
    """What was sent cannot be understood or is not allowed."""

    status = HTTPStatus.BAD_REQUEST


class InvalidRule(InvalidInput):
    """A rule that breaks the model; the text names the field and what is allowed."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class MalformedRequest(InvalidInput):
    """An HTTP request that is not well formed, or that could be read in two ways."""


class MethodNotAllowed(InvalidInput):
    """A method that is not for this server; `allow` names those that are."""

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class RequestTooSlow(InvalidInput):
    """A request that did not come in time."""

    status = HTTPStatus.REQUEST_TIMEOUT


class BodyTooLarge(InvalidInput):
    """A request body larger than allowed, or too large to be deferred."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class TargetTooLong(InvalidInput):
    """A request line longer than a whole head may be."""

    status = HTTPStatus.REQUEST_URI_TOO_LONG


class HeadTooLarge(InvalidInput):
    """More headers, or larger ones, than allowed."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class NotSupported(InvalidInput):
    """Something of HTTP that is not done here."""

    status = HTTPStatus.NOT_IMPLEMENTED


class UnsupportedMediaType(InvalidInput):
    """A body of a kind that is not understood."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Unauthenticated(PenstockError):
    """No token where one is required (`invalid_token` is false), or a bad one."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, message: str, *, invalid_token: bool = False) -> None:
        super().__init__(message)
        self.invalid_token = invalid_token


class Forbidden(PenstockError):
    """The caller is known and may not do this."""

    status = HTTPStatus.FORBIDDEN


class NotFound(PenstockError):
    """No such thing, or none that the caller may see."""

    status = HTTPStatus.NOT_FOUND


class Conflict(PenstockError):
    """The thing is not in a state in which this can be done."""

    status = HTTPStatus.CONFLICT


class PreconditionFailed(Conflict):
    """The thing changed since the caller read it (`If-Match`)."""

    status = HTTPStatus.PRECONDITION_FAILED


class IdempotencyConflict(Conflict):
    """An idempotency key used again for a different request."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class TooManyRequests(PenstockError):
    """More of something than a caller may do, other than what a rule limits."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ClientGone(PenstockError):
    """The client went away; there is nobody to answer. The status is nginx's, for logs and counts alone."""

    status = 499


class Unavailable(PenstockError):
    """A store that is needed cannot be reached or does not answer in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class RulesUnavailable(Unavailable):
    """The rules are not known; this is never the same as "no rules"."""


class CountersUnavailable(Unavailable):
    """The counters cannot be reached."""


class QueueUnavailable(Unavailable):
    """The queue cannot be reached, or takes no more jobs."""


class TooManyConnections(Unavailable):
    """This process has as many connections as it may."""


class UpstreamError(PenstockError):
    """The app servers gave no usable answer."""

    status = HTTPStatus.BAD_GATEWAY


class UpstreamRefused(UpstreamError):
    """No connection was made: nothing of the request was sent."""


class UpstreamCircuitOpen(UpstreamRefused):
    """The circuit breakers of all app servers are open, so no connection was tried."""


class UpstreamCut(UpstreamError):
    """The request was sent and the connection ended before the answer did."""


class UpstreamReset(UpstreamCut):
    """The request was sent and the connection ended before any of the answer came."""


class UpstreamTimeout(UpstreamError):
    """The app server did not answer in time; the request may have been acted on."""

    status = HTTPStatus.GATEWAY_TIMEOUT


class StartupError(PenstockError):
    """A process cannot start; the text is one line that says what to do."""
