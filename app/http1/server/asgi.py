"""ASGI applications on this server (https://asgi.readthedocs.io: specification 3.0, HTTP messages 2.3)."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from app.errors import ClientGone
from app.http1.server.exchange import Application, Exchange, PendingResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]


def as_application(asgi: Asgi) -> Application:
    """Adapt an ASGI application to this server."""

    def application(exchange: Exchange) -> PendingResponse:
        return _respond(asgi, exchange)

    return application


async def _respond(asgi: Asgi, exchange: Exchange) -> None:
    messages, scope = _Messages(exchange), scope_of(exchange)
    try:
        await asgi(scope, messages.receive, messages.send)
    finally:
        # Frameworks store objects in the scope that refer to it. Breaking these cycles frees them at once.
        scope.clear()


def scope_of(exchange: Exchange) -> Message:
    """The ASGI scope of a request."""
    head = exchange.head
    path = head.path.decode("ascii")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": head.version,
        "server": exchange.server,
        "client": exchange.client,
        "scheme": "http",
        "method": head.method,
        "root_path": "",
        "path": unquote(path) if "%" in path else path,
        "raw_path": head.path,
        "query_string": head.target[len(head.path) + 1 :],
        "headers": head.headers,
    }


class _Messages:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def receive(self) -> Message:
        """The next part of the body; after the last one, `http.disconnect` once the exchange has ended."""
        body = self._exchange.body
        while body.consumed and not body.closed:
            await body.wait_for_change()
        try:
            data = await body.read()
        except ClientGone:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": data, "more_body": not body.consumed}

    async def send(self, message: Message) -> None:
        """Send a part of the response, once the client has received enough of what was sent before."""
        exchange = self._exchange
        await exchange.drain()
        if message["type"] == "http.response.start":
            exchange.start_own_response(message["status"], message["headers"])
            # The head leaves together with the body if the application sends some of that at once.
            asyncio.get_running_loop().call_soon(exchange.response.flush)
        elif message.get("more_body", False):
            exchange.write(message.get("body", b""))
        else:
            exchange.finish(message.get("body", b""))
