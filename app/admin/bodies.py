"""Bodies of requests: read after the role is known, and strictly, so that none means two things."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.errors import BodyTooLarge, InvalidInput, UnsupportedMediaType

MOST_BYTES = 1 << 20

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

M = TypeVar("M", bound=BaseModel)


async def json_of(request: Request) -> Any:  # noqa: ANN401 - JSON
    """The body's JSON. Raises InvalidInput, UnsupportedMediaType, BodyTooLarge."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {JSON, MERGE_PATCH}:
        raise UnsupportedMediaType(f"The body must be JSON, and its Content-Type say so: {JSON}.")
    return parse_json(await _whole(request))


def parse_json(text: bytes) -> Any:  # noqa: ANN401 - JSON
    """Strict: UTF-8, no NaN, no lone surrogate, and no name twice in one object. Raises InvalidInput."""
    try:
        found = orjson.loads(text)
        json.loads(text, object_pairs_hook=_once_each, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The body is no JSON: {error}") from error
    return found


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


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"The body names {twice!r} twice in one object.")
    return found
