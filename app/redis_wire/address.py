"""Where a Redis is, by its URL as redis-py reads it: `redis://`, `rediss://` or `unix://`, user, password, database."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, TypeVar

from redis.asyncio.connection import SSLConnection, parse_url

from app.redis_wire.resp import command

P = TypeVar("P", bound=asyncio.Protocol)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One Redis server. `path`: of its unix socket, instead of host and port."""

    host: str
    port: int
    path: str | None
    tls: SSLContext | None
    greeting: tuple[bytes, ...]
    """What is said on a new connection; every word of it must be answered well."""

    @classmethod
    def parse(cls, url: str) -> "RedisAddress":
        """Raises ValueError. The options of TLS (`?ssl_ca_certs=…`) are redis-py's."""
        options: dict[str, Any] = dict(parse_url(url))
        # redis-py makes the context, so that a URL means the same to both clients.
        secure = options.get("connection_class") is SSLConnection
        of_tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
        return cls(
            host=options.get("host", "localhost"),
            port=options.get("port", 6379),
            path=options.get("path"),
            tls=SSLConnection(**of_tls).ssl_context.get() if secure else None,
            greeting=tuple(_greeting(options)),
        )

    async def connect(self, factory: Callable[[], P]) -> P:
        """A new connection; raises OSError (TLS's errors are such too)."""
        loop = asyncio.get_running_loop()
        if self.path is not None:
            return (await loop.create_unix_connection(factory, self.path))[1]
        transport, protocol = await loop.create_connection(factory, self.host, self.port, ssl=self.tls)
        found = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return protocol


def _greeting(options: dict[str, Any]) -> Sequence[bytes]:
    words = []
    if options.get("password"):
        user = [options["username"]] if options.get("username") else []
        words.append(command("AUTH", *user, options["password"]))
    if options.get("db"):
        words.append(command("SELECT", options["db"]))
    return [*words, command("PING")]  # one that hangs or is loading its data is not connected
