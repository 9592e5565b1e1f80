"""The address of a Redis server, from a URL as redis-py accepts it (`redis://`, `rediss://` or `unix://`)."""

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
    """One Redis server. With a `path`, the path of a Unix socket, host and port are not used."""

    host: str
    port: int
    path: str | None
    tls: SSLContext | None
    greeting: tuple[bytes, ...]
    """The encoded commands that a new connection begins with; each of them must succeed."""

    @classmethod
    def parse(cls, url: str) -> "RedisAddress":
        """Parse a URL with redis-py's options, such as `?ssl_ca_certs=…`. Raises ValueError."""
        options: dict[str, Any] = dict(parse_url(url))
        # redis-py creates the TLS context, so that a URL means the same to both clients.
        uses_tls = options.get("connection_class") is SSLConnection
        tls_options = {name: value for name, value in options.items() if name.startswith("ssl_")}
        return cls(
            host=options.get("host", "localhost"),
            port=options.get("port", 6379),
            path=options.get("path"),
            tls=SSLConnection(**tls_options).ssl_context.get() if uses_tls else None,
            greeting=tuple(_greeting(options)),
        )

    async def connect(self, factory: Callable[[], P]) -> P:
        """Open a connection. Raises OSError, of which the errors of TLS are subclasses."""
        loop = asyncio.get_running_loop()
        if self.path is not None:
            return (await loop.create_unix_connection(factory, self.path))[1]
        transport, protocol = await loop.create_connection(factory, self.host, self.port, ssl=self.tls)
        connected = transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return protocol


def _greeting(options: dict[str, Any]) -> Sequence[bytes]:
    commands = []
    if options.get("password"):
        user = [options["username"]] if options.get("username") else []
        commands.append(command("AUTH", *user, options["password"]))
    if options.get("db"):
        commands.append(command("SELECT", options["db"]))
    return [*commands, command("PING")]  # a server that hangs or is loading its data does not count as connected
