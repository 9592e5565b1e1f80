"""The connections to one app server: those in use, and those that are kept for the next request."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ssl import SSLContext

from pydantic import HttpUrl

from app.errors import UpstreamRefused
from app.http1.client.connection import ClientConnection

LEAST_KEPT_S = 0.5


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """How long to wait for an app server, and how long and how many idle connections are kept."""

    connect_s: float
    read_s: float
    """For an answer to begin once the request was sent, between its pieces, and for the request to be taken."""
    keep_s: float
    most_idle: int


class Pool:
    """Connections to the app server at `address`, whose path comes before every target."""

    def __init__(self, address: HttpUrl, timeouts: ClientTimeouts, tls: SSLContext | None) -> None:
        host, port = address.host or "", address.port or _USUAL[address.scheme]
        self.path = (address.path or "").rstrip("/").encode()
        self.authority = (host if port == _USUAL[address.scheme] else f"{host}:{port}").encode()
        self._host = host.strip("[]")
        self._port = port
        self._tls = tls if address.scheme == "https" else None
        self._timeouts = timeouts
        self._open: set[ClientConnection] = set()
        self._idle: list[ClientConnection] = []
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self._reached: tuple[int, str] | None = None

    @property
    def in_use(self) -> int:
        """How many connections carry a request."""
        return len(self._open) - len(self._idle)

    @property
    def idle(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    def take(self) -> ClientConnection | None:
        """The connection that was used last, if it is sound: what died or speaks unasked is closed."""
        if not self._idle:
            return None
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if now < connection.keep_until and connection.usable:
                return connection
            connection.close()
        return None

    async def connect(self) -> ClientConnection:
        """A new connection, to any of the addresses that the name has now. Raises UpstreamRefused."""
        error: Exception = OSError("it has no address")
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                addresses = await self._addresses()
            for address in addresses:
                try:
                    # Each gets its share, so that a dead first address leaves time for the next.
                    async with asyncio.timeout(self._timeouts.connect_s / len(addresses)):
                        connection = await self._connect(*address)
                except (OSError, ValueError) as refused:  # TimeoutError and TLS's errors are OSErrors
                    error = refused
                else:
                    self._reached = address
                    return connection
        except (OSError, ValueError) as unresolved:
            error = unresolved
        why = "it took too long" if isinstance(error, TimeoutError) else str(error)
        raise UpstreamRefused(f"The app server {self._host}:{self._port} cannot be reached: {why}.") from error

    def give_back(self, connection: ClientConnection, kept_for_s: int | None) -> None:
        """Keep one whose answer is complete; `kept_for_s`: for how long the app server says that it does."""
        if self._closed or len(self._idle) >= self._timeouts.most_idle:
            connection.close()
            return
        keep_s = self._timeouts.keep_s
        if kept_for_s is not None:
            # A little less than the server does, lest it closes while a request is on its way.
            keep_s = min(keep_s, max(kept_for_s - 1.0, kept_for_s * LEAST_KEPT_S))
        loop = asyncio.get_running_loop()
        connection.keep_until = loop.time() + keep_s
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._timeouts.keep_s / 2, self._sweep_idle)

    async def close(self) -> None:
        """Close all of them, in use or not; those that come later are closed at once."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._open):
            connection.cut()
        await asyncio.sleep(0)  # who was waiting for an answer is told in the loop's next turn

    async def _addresses(self) -> Sequence[tuple[int, str]]:
        """By family and number, the one that was reached last before the others."""
        found = await asyncio.get_running_loop().getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys((int(family), str(to[0])) for family, _, _, _, to in found))
        if self._reached in addresses:
            addresses.sort(key=lambda address: address != self._reached)
        return addresses

    async def _connect(self, family: int, host: str) -> ClientConnection:
        connection = ClientConnection(self._timeouts.read_s, self._lost)
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
            connection.cut()
            raise
        if self._closed:
            connection.cut()
            raise UpstreamRefused("Penstock is ending.")
        return connection

    def _lost(self, connection: ClientConnection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _sweep_idle(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(self._timeouts.keep_s / 2, self._sweep_idle) if self._idle else None
        now = loop.time()
        for connection in [one for one in self._idle if one.keep_until <= now]:
            self._idle.remove(connection)
            connection.close()


_USUAL = {"http": 80, "https": 443}
