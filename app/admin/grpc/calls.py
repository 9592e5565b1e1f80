"""One call over gRPC: who calls, what the service answers, and what becomes of its errors."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from grpc.aio import ServicerContext
from grpc_status.rpc_status import to_status
from pydantic import ValidationError

from app.admin.grpc.statuses import status_of
from app.admin.operators import Operator, OperatorAuthenticator
from app.errors import InvalidInput, PenstockError, Unavailable
from app.web.validation import first_problem

log = structlog.get_logger()

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)

INTERNAL_ERROR = "An internal error occurred; Penstock's log has the details."


class Calls:
    """Authenticates each call and turns errors into statuses. `on_unavailable` is told of each call that becomes
    UNAVAILABLE.
    """

    def __init__(self, authenticator: OperatorAuthenticator, on_unavailable: Callable[[Unavailable], None]) -> None:
        self._authenticator = authenticator
        self._on_unavailable = on_unavailable

    async def answer(
        self,
        context: ServicerContext[Any, Any],
        call: Callable[[Operator], Awaitable[Answer]],
    ) -> Answer:
        """Return the answer of `call` for the operator who calls, or end the RPC with the status of its error."""
        try:
            return await call(await self._authenticator.operator(_authorization(context), "grpc"))
        except ValidationError as error:
            status = status_of(InvalidInput(first_problem(error)))
        except PenstockError as error:
            if isinstance(error, Unavailable):
                self._on_unavailable(error)
            status = status_of(error)
        except Exception:
            log.exception("grpc_call_failed")
            status = Status(code=StatusCode.INTERNAL.value[0], message=INTERNAL_ERROR)
        await context.abort_with_status(to_status(status))
        raise AssertionError("abort_with_status raises")


def _authorization(context: ServicerContext[Any, Any]) -> list[bytes]:
    metadata = context.invocation_metadata() or ()
    return [value.encode() if isinstance(value, str) else value for key, value in metadata if key == "authorization"]
