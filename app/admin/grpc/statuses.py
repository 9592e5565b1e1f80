"""The status of a failed call: the code and the details that an error of Penstock becomes."""

import re
from http import HTTPStatus

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from app.errors import InvalidRule, PenstockError, TooManyRequests

DOMAIN = "penstock"

CODES: dict[int, StatusCode] = {
    HTTPStatus.BAD_REQUEST: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNAUTHORIZED: StatusCode.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: StatusCode.PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: StatusCode.NOT_FOUND,
    HTTPStatus.CONFLICT: StatusCode.FAILED_PRECONDITION,
    HTTPStatus.PRECONDITION_FAILED: StatusCode.ABORTED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.UNPROCESSABLE_ENTITY: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.TOO_MANY_REQUESTS: StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.SERVICE_UNAVAILABLE: StatusCode.UNAVAILABLE,
}
"""The code for each HTTP status that an error of the admin API has."""


def status_of(error: PenstockError) -> Status:
    """Return the status of a call that failed with this error.

    Its details are an ErrorInfo, whose reason is the name of the error's class; the field of an invalid rule; and after
    how long to try again, where that is known.
    """
    code = CODES.get(error.status, StatusCode.INTERNAL)
    details: list[Message] = [ErrorInfo(reason=_reason(type(error)), domain=DOMAIN)]
    if isinstance(error, InvalidRule):
        field, separator, problem = str(error).partition(": ")
        if separator:
            details.append(BadRequest(field_violations=[BadRequest.FieldViolation(field=field, description=problem)]))
    if isinstance(error, TooManyRequests):
        details.append(RetryInfo(retry_delay=Duration(seconds=error.retry_after_s)))
    number: int = code.value[0]
    return Status(code=number, message=str(error), details=[_packed(detail) for detail in details])


def _reason(of: type[PenstockError]) -> str:
    """PreconditionFailed is PRECONDITION_FAILED."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", of.__name__).upper()


def _packed(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed
