"""Request bodies, parsed strictly so that no body can be read in two ways, and only after the role was checked."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.errors import BodyTooLarge, InvalidInput, UnsupportedMediaType
from app.web.strict_json import parse_json

MAX_BODY_BYTES = 1 << 20

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

M = TypeVar("M", bound=BaseModel)


async def read_json(request: Request) -> Any:  # noqa: ANN401 - JSON
    """Return the parsed body. Raises InvalidInput, UnsupportedMediaType, BodyTooLarge."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {JSON, MERGE_PATCH}:
        raise UnsupportedMediaType(f"The body must be JSON and its Content-Type must be {JSON}.")
    try:
        return parse_json(await _read_body(request))
    except ValueError as error:
        raise InvalidInput(f"The body is not valid JSON: {error}.") from error


def body_as(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """Return a dependency that parses the body as `model`. It must follow the parameter that checks the role."""

    async def body(request: Request) -> M:
        fields = await read_json(request)
        try:
            return model.model_validate(fields)
        except ValidationError as error:
            # Only the first error is reported, and a body of 1 MiB may have 100,000 of them.
            found = error.errors(include_url=False, include_context=False, include_input=False)
            raise RequestValidationError(found[:1]) from error

    return body


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"The body may have at most {MAX_BODY_BYTES} bytes.")
    return bytes(body)
