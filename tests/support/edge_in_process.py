"""One edge in the test's own process, on real stores, before an app server that a test writes byte for byte."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from prometheus_client import CollectorRegistry
from pydantic import HttpUrl, TypeAdapter
from redis.asyncio import Redis

from app.main import run_edge
from app.process.lifecycle import Process
from app.process.listen import Listen
from app.rules import keys
from app.rules.active import encode_active
from app.rules.model import parse_rule
from app.settings import Settings
from tests.support.issuer import Issuer
from tests.support.ports import free_port
from tests.support.waiting import eventually

Handler = Callable[["Exchange"], Awaitable[None]]
EVERY_ADDRESS = {"key_type": "ip", "key_value": "*"}
EVERY_USER = {"key_type": "user", "key_value": "*"}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Exchange:
    """One request at the app server: its head as it came, and the connection."""

    head: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        lines = self.head.split(b"\r\n")[1:]
        return [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines) if name]

    async def answer(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()


async def says_ok(exchange: Exchange) -> None:
    await exchange.answer(OK)


@dataclass
class AppServer:
    """Remembers what arrived; `handler` answers. A connection serves one request."""

    handler: Handler = says_ok
    arrived: list[Exchange] = field(default_factory=list)
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            exchange = Exchange(await reader.readuntil(b"\r\n\r\n"), reader, writer)
            self.arrived.append(exchange)
            await self.handler(exchange)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.cut.set()
        finally:
            writer.close()


@dataclass
class Edge:
    """Where the edge under test listens, and what is before and behind it."""

    port: int
    process: Process
    app_server: AppServer
    issuer: Issuer
    cache: Redis

    async def raw(self, request: bytes) -> bytes:
        """Send these bytes; all that comes back until the edge closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.close()

    async def get(self, target: str, *headers: str) -> "Said":
        """A GET whose connection ends with it."""
        lines = [f"GET {target} HTTP/1.1", "Host: edge.test", "Connection: close", *headers, "", ""]
        return said(await self.raw("\r\n".join(lines).encode()))

    def bearer(self, subject: str, **claims: Any) -> str:  # noqa: ANN401
        return f"Authorization: Bearer {self.issuer.token(subject, **claims)}"

    async def rule(self, rule_id: str, **fields: Any) -> None:  # noqa: ANN401
        """Put a rule where sync would have put it, and tell the edge."""
        rule = parse_rule({"rule_id": rule_id} | fields)
        name = keys.bucket(rule.key_type, rule.key_value)
        version = await self.cache.incr(keys.VERSION)
        await self.cache.set(name, orjson.dumps([encode_active(rule, version)]))
        change = {"version": version, "buckets": [name], "rules": [rule_id]}
        await self.cache.publish(keys.CHANGED, orjson.dumps(change))

    def counted(self, name: str, **labels: str) -> float:
        return self.process.registry.get_sample_value(name, labels) or 0.0


@dataclass(frozen=True)
class Said:
    """An answer as the client got it; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401
        return orjson.loads(self.body)


def said(raw: bytes) -> Said:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(": ") for line in lines)
    return Said(int(status.split(" ")[1]), {name.lower(): value for name, _, value in fields}, body)


@asynccontextmanager
async def edge_running(settings: Settings, cache: Redis, **changed: Any) -> AsyncIterator[Edge]:  # noqa: ANN401
    """An edge with no rules yet, which is not the same as one whose rules are not known.

    It waits long for both Redis servers, because a busy machine is no store that is away.
    """
    issuer, app_server = Issuer(), AppServer()
    server = await asyncio.start_server(app_server.serve, "127.0.0.1", 0, backlog=2048)
    url = TypeAdapter(HttpUrl).validate_python
    defaults: dict[str, Any] = {
        "upstreams": (url(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"),),
        "jwks_url": url(issuer.url),
        "jwt_issuer": "test",
        "counters_timeout_ms": 5000.0,
        "cache_timeout_ms": 5000.0,
        "rules_timeout_ms": 5000.0,
        "queue_timeout_ms": 10_000.0,
    }
    port = free_port()
    process = Process(
        "edge",
        settings.model_copy(update=defaults | changed),
        CollectorRegistry(auto_describe=True),
        Listen("127.0.0.1", port),
    )
    await cache.set(keys.VERSION, 1)
    running = asyncio.create_task(run_edge(process))
    try:
        await asyncio.wait_for(process.ready.wait(), 30)
        yield Edge(port, process, app_server, issuer, cache)
    finally:
        process.stop.set()
        await asyncio.wait_for(running, 30)
        server.close()
        issuer.close()


async def in_force(edge: Edge, rule_id: str, *headers: str, path: str = "/") -> None:
    async def known() -> bool:
        answer = await edge.get(f"/_penstock/limits?path={path}", *headers)
        # An edge with a short deadline for its counters may find them late on a busy machine, and answers 503.
        return answer.status == 200 and rule_id in [one["rule_id"] for one in answer.json()["limits"]]

    await eventually(known, 30, f"{rule_id} is in force")
