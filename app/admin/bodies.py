"""Bodies of requests: read after the role is known, and strictly, so that none means two things."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.errors import BodyTooLarge, InvalidInput, UnsupportedMediaType
from app.web.strict_json import parse_json

MOST_BYTES = 1 << 20

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

M = TypeVar("M", bound=BaseModel)


async def json_of(request: Request) -> Any:  # noqa: ANN401 - JSON
    """The body's JSON. Raises InvalidInput, UnsupportedMediaType, BodyTooLarge."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {JSON, MERGE_PATCH}:
        raise UnsupportedMediaType(f"The body must be JSON, and its Content-Type say so: {JSON}.")
    try:
        return parse_json(await _whole(request))
    except ValueError as error:
        raise InvalidInput(f"The body is not valid JSON: {error}.") from error


def body_as(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """A dependency: the body as this model. After the one that says who asks."""

    async def body(request: Request) -> M:
        fields = await json_of(request)
        try:
            return model.model_validate(fields)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False)) from error

    return body


async def _whole(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise BodyTooLarge(f"The body may have at most {MOST_BYTES} bytes.")
    return bytes(body)
