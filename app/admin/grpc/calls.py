"""One call over gRPC: who calls, what the service answers, and what becomes of its errors."""

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

import structlog
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from grpc.aio import ServicerContext
from grpc_status.rpc_status import to_status
from pydantic import BaseModel, ValidationError

from app.admin.grpc.messages import to_fields
from app.admin.grpc.statuses import status_of
from app.admin.operators import Operator, OperatorAuthenticator, Role
from app.errors import InvalidInput, PenstockError, Unavailable
from app.web.validation import first_problem

log = structlog.get_logger()

Context = ServicerContext[Any, Any]
Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)
S = TypeVar("S", bound="Servicer")
M = TypeVar("M", bound=BaseModel)

Method = Callable[[S, Operator, Request], Awaitable[Answer]]
Handler = Callable[[S, Request, Context], Coroutine[Any, Any, Answer]]
"""A method as the classes of this package write it, and as the server calls it."""

INTERNAL_ERROR = "An internal error occurred; Penstock's log has the details."


class Servicer:
    """One of the services. `on_unavailable` is told of each call that becomes UNAVAILABLE."""

    def __init__(self, authenticator: OperatorAuthenticator, on_unavailable: Callable[[Unavailable], None]) -> None:
        self.authenticator = authenticator
        self.on_unavailable = on_unavailable


def rpc(role: Role) -> Callable[[Method[S, Request, Answer]], Handler[S, Request, Answer]]:
    """Make a method that is called with the operator who calls. Its errors become the status of the call.

    The role is checked before the method reads the request: a caller without it does not learn what is wrong there.
    """

    def decorate(method: Method[S, Request, Answer]) -> Handler[S, Request, Answer]:
        @wraps(method)
        async def answer(servicer: S, request: Request, context: Context) -> Answer:
            try:
                operator = await servicer.authenticator.operator(_authorization(context), "grpc")
                operator.require(role)
                return await method(servicer, operator, request)
            except ValidationError as error:
                status = status_of(InvalidInput(first_problem(error)))
            except PenstockError as error:
                if isinstance(error, Unavailable):
                    servicer.on_unavailable(error)
                status = status_of(error)
            except Exception:
                log.exception("grpc_call_failed", method=method.__name__)
                status = Status(code=StatusCode.INTERNAL.value[0], message=INTERNAL_ERROR)
            await context.abort_with_status(to_status(status))
            raise AssertionError("abort_with_status raises")

        return answer

    return decorate


def read(request: Message, model: type[M]) -> M:
    """Return what a request says, checked by the model that the REST API checks it by. Raises ValidationError."""
    return model.model_validate(to_fields(request))


def _authorization(context: Context) -> list[bytes]:
    metadata = context.invocation_metadata() or ()
    return [value.encode() if isinstance(value, str) else value for key, value in metadata if key == "authorization"]
