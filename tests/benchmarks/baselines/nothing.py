"""An ASGI application that does nothing, to measure the cost of uvicorn itself."""

from typing import Any

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]}
BODY = {"type": "http.response.body", "body": b"nothing\n"}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
    if scope["type"] == "http":
        await send(START)
        await send(BODY)
