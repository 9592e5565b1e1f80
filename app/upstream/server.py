"""One app server: the connections to it, and its circuit breaker."""

import asyncio
from time import monotonic

import structlog

from app.errors import UpstreamRefused
from app.http1.client.pool import ConnectionPool
from app.upstream.breaker import Permit
from app.upstream.server_breaker import ConnectionResult, ServerBreaker

log = structlog.get_logger()


class UpstreamServer:
    """Sets `changed` when its breaker opens, and when the breaker begins to close."""

    def __init__(self, pool: ConnectionPool, changed: asyncio.Event) -> None:
        self.pool = pool
        self.breaker = ServerBreaker()
        self._changed = changed

    def record(self, permit: Permit, result: ConnectionResult) -> None:
        """Tell the breaker how a request ended."""
        breaker = self.breaker
        if result is ConnectionResult.ANSWERED and breaker.is_settled:
            return
        was_open = breaker.is_open
        breaker.end(permit, result, monotonic())
        if breaker.is_open is not was_open:
            log.warning("app_server_breaker", app_server=self.pool.authority.decode(), open=breaker.is_open)
            self._changed.set()

    @property
    def should_preconnect(self) -> bool:
        """Whether no connection is idle, and no failure is known that would make a new one futile."""
        return not self.pool.idle and self.breaker.is_settled

    async def preconnect(self) -> None:
        """Open a connection for the next request; a failure opens the breaker and is not raised."""
        try:
            self.pool.release(await self.pool.connect(), None)
        except UpstreamRefused:
            self.record(Permit.REGULAR, ConnectionResult.REFUSED)
