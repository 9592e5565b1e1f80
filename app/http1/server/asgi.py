"""ASGI applications behind our server: https://asgi.readthedocs.io, version 3.0 of the interface, 2.3 of HTTP's."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from app.errors import ClientGone
from app.http1.server.exchange import Answering, Application, Exchange

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]


def as_application(asgi: Asgi) -> Application:
    """What our server calls."""

    def application(exchange: Exchange) -> Answering:
        return _answer(asgi, exchange)

    return application


async def _answer(asgi: Asgi, exchange: Exchange) -> None:
    messages, scope = _Messages(exchange), scope_of(exchange)
    try:
        await asgi(scope, messages.receive, messages.send)
    finally:
        # It knows what refers to it: without this a request is the collector's to find.
        scope.clear()


def scope_of(exchange: Exchange) -> Message:
    """A request in ASGI's words."""
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
        """What has come of the body; once that was all, that the client is gone."""
        exchange = self._exchange
        while exchange.given and not (exchange.left or exchange.complete):
            await exchange.news()
        try:
            body = await exchange.more()
        except ClientGone:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": not exchange.given}

    async def send(self, message: Message) -> None:
        """Waits while the client does not take what was sent before."""
        exchange = self._exchange
        await exchange.room()
        if message["type"] == "http.response.start":
            exchange.begin(message["status"], message["headers"])
            # In one piece with the body, if some of it is there at once.
            asyncio.get_running_loop().call_soon(exchange.flush)
        elif message.get("more_body", False):
            exchange.send(message.get("body", b""))
        else:
            exchange.end(message.get("body", b""))
