"""The connections to one app server: those in use, and idle ones that are kept for the next requests."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ssl import SSLContext

from pydantic import HttpUrl

from app.errors import UpstreamRefused
from app.http1.client.connection import ClientConnection

MIN_KEEP_ALIVE_RATIO = 0.5
"""At least this part of the time that the app server announces is used; short times leave no whole second to spare."""


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """How long to wait for an app server, in seconds."""

    connect_s: float
    """For a connection to be established."""
    read_s: float
    """For the response to begin, for more of its body to arrive, and for the server to accept more of a request."""
    keep_alive_s: float
    """For an idle connection to be used again before it is closed."""


class ConnectionPool:
    """Connections to the app server at `address`, of which at most `max_idle` are kept while they are idle.

    `path` is the path of the address; it precedes the target of every request.
    """

    def __init__(self, address: HttpUrl, timeouts: ClientTimeouts, max_idle: int, tls: SSLContext | None) -> None:
        host, port = address.host or "", address.port or _DEFAULT_PORTS[address.scheme]
        self.path = (address.path or "").rstrip("/").encode()
        self.authority = (host if port == _DEFAULT_PORTS[address.scheme] else f"{host}:{port}").encode()
        self._host = host.strip("[]")
        self._port = port
        self._tls = tls if address.scheme == "https" else None
        self._timeouts = timeouts
        self._max_idle = max_idle
        self._open: set[ClientConnection] = set()
        self._idle: list[ClientConnection] = []
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self._last_address: tuple[int, str] | None = None

    @property
    def in_use(self) -> int:
        """How many connections carry a request."""
        return len(self._open) - len(self._idle)

    @property
    def idle(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    def take_idle(self) -> ClientConnection | None:
        """The idle connection that was used last, or None. Those that may not be reused any more are closed."""
        if not self._idle:
            return None
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if now < connection.expires_at and connection.is_reusable:
                return connection
            connection.close()
        return None

    async def connect(self) -> ClientConnection:
        """Open a connection to any of the addresses that the name has now. Raises UpstreamRefused."""
        error: Exception = OSError("its name has no address")
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                addresses = await self._addresses()
            for address in addresses:
                try:
                    # Each address gets an equal share, so that one that does not respond leaves time for the next.
                    async with asyncio.timeout(self._timeouts.connect_s / len(addresses)):
                        connection = await self._connect(*address)
                except (OSError, ValueError) as refused:  # TimeoutError and SSLError are subclasses of OSError
                    error = refused
                else:
                    self._last_address = address
                    return connection
        except (OSError, ValueError) as unresolved:
            error = unresolved
        why = "connecting took too long" if isinstance(error, TimeoutError) else str(error)
        raise UpstreamRefused(f"The app server {self._host}:{self._port} cannot be reached: {why}.") from error

    def release(self, connection: ClientConnection, keep_alive_timeout_s: int | None) -> None:
        """Keep a connection that has finished its request.

        `keep_alive_timeout_s`: how long the app server keeps it open, if it said so in a Keep-Alive header.
        """
        if self._closed or len(self._idle) >= self._max_idle:
            connection.close()
            return
        keep_s = self._timeouts.keep_alive_s
        if keep_alive_timeout_s is not None:
            # A little less than the server does, so that it does not close the connection while a request is sent.
            keep_s = min(keep_s, max(keep_alive_timeout_s - 1.0, keep_alive_timeout_s * MIN_KEEP_ALIVE_RATIO))
        loop = asyncio.get_running_loop()
        connection.expires_at = loop.time() + keep_s
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._timeouts.keep_alive_s / 2, self._sweep_idle)

    async def close(self) -> None:
        """Close all connections, including those in use. Connections that are being opened are closed at once."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._open):
            connection.abort()
        await asyncio.sleep(0)  # connection_lost is called in the next iteration of the event loop

    async def _addresses(self) -> Sequence[tuple[int, str]]:
        """The addresses as (family, host); the one that was connected to last comes first."""
        infos = await asyncio.get_running_loop().getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys((int(family), str(sockaddr[0])) for family, _, _, _, sockaddr in infos))
        if self._last_address in addresses:
            addresses.sort(key=lambda address: address != self._last_address)
        return addresses

    async def _connect(self, family: int, host: str) -> ClientConnection:
        connection = ClientConnection(self._timeouts.read_s, self._connection_lost)
        self._open.add(connection)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection,
                host,
                self._port,
                family=family,
                ssl=self._tls,
                server_hostname=self._host if self._tls is not None else None,
            )
        except BaseException:
            self._open.discard(connection)
            connection.abort()
            raise
        if self._closed:
            connection.abort()
            raise UpstreamRefused("The process is shutting down.")
        return connection

    def _connection_lost(self, connection: ClientConnection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _sweep_idle(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(self._timeouts.keep_alive_s / 2, self._sweep_idle) if self._idle else None
        now = loop.time()
        for connection in [one for one in self._idle if one.expires_at <= now]:
            self._idle.remove(connection)
            connection.close()


_DEFAULT_PORTS = {"http": 80, "https": 443}
