"""A whole Penstock of separate processes on the stores of the fixtures, for tests that need several of each kind."""

import json
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from app.clients import mongo_client
from app.settings import Settings
from tests.support.forked import PENSTOCK_MAIN, fork, may_fork
from tests.support.granted_slots import GrantedSlots, recorded
from tests.support.issuer import Issuer
from tests.support.ports import free_port
from tests.support.processes import RunningProcess, end, start
from tests.support.waiting import eventually

PENSTOCK = Path(sys.executable).parent / "penstock"
READY_WITHIN_S = 60.0
MOST_EDGES = 4


@dataclass
class Part:
    """One running process."""

    role: str
    process: RunningProcess
    ops_url: str = ""

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        end(self.process)


@dataclass
class System:
    settings: Settings
    log_dir: Path
    issuer: Issuer
    rules: Any
    http: aiohttp.ClientSession
    environment: dict[str, str]
    slots: GrantedSlots | None = None
    """The slots that workers are granted, where they are recorded."""
    edge_port: int = field(default_factory=free_port)
    upstream_port: int = field(default_factory=free_port)
    parts: list[Part] = field(default_factory=list)
    _tokens: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.edge_port}"

    @property
    def upstream(self) -> str:
        return f"http://127.0.0.1:{self.upstream_port}"

    def spawn(self, role: str, *options: str, **environment: str) -> Part:
        ops_port = free_port()
        process = self._start(role, PENSTOCK_MAIN, [role, *options, "--ops-port", str(ops_port)], environment)
        part = Part(role, process, f"http://127.0.0.1:{ops_port}")
        self.parts.append(part)
        return part

    def edge(self, **environment: str) -> Part:
        options = ("--host", "127.0.0.1", "--port", str(self.edge_port), "--reuse-port")
        return self.spawn("edge", *options, **environment)

    def worker(self, **environment: str) -> Part:
        if self.slots is not None:
            environment = {"PENSTOCK_CACHE_REDIS_URL": self.slots.url} | environment
        return self.spawn("worker", **environment)

    def granted(self, descriptor: str) -> list[float]:
        """The slots of a flow in seconds of the machine's clock, if the system records slots."""
        assert self.slots is not None
        return self.slots.of(descriptor)

    @property
    def arrivals_ledger(self) -> Path:
        """What the app server writes, and what survives it (tests/support/account.py)."""
        return self.log_dir / "arrivals.jsonl"

    def app_server(self) -> Part:
        arguments = [str(self.upstream_port), str(self.arrivals_ledger)]
        process = self._start("app-server", "tests.support.app_server", arguments, {})
        part = Part("app server", process, f"{self.upstream}/-")
        self.parts.append(part)
        return part

    def _start(self, name: str, main: str, arguments: list[str], environment: dict[str, str]) -> RunningProcess:
        log = self.log_dir / f"{name}-{len(self.parts)}.log"
        changed = self.environment | environment
        if may_fork(changed):
            return fork(main, arguments, log, os.environ | changed)
        command = [PENSTOCK] if main == PENSTOCK_MAIN else [sys.executable, "-m", main]
        return start([*command, *arguments], log, changed)

    def end(self) -> None:
        """End all parts at once. The app server goes first, so that nobody waits for its answers."""
        for part in self.parts:
            if part.role == "app server":
                part.kill()
        end(*(part.process for part in self.parts))

    async def ready(self, *parts: Part) -> None:
        """Wait until these (all, if none are named) are ready."""
        for part in parts or self.parts:
            path = "/count" if part.role == "app server" else "/healthz"
            await eventually(lambda: self._answers(part, path), READY_WITHIN_S, f"{part.role} is ready")  # noqa: B023

    async def _answers(self, part: Part, path: str) -> bool:
        assert part.process.poll() is None, f"{part.role} ended; see {self.log_dir}"
        try:
            async with self.http.get(part.ops_url + path) as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def put_rule(self, rule_id: str, **fields: Any) -> None:  # noqa: ANN401
        """Write a rule into MongoDB as any client may."""
        await self.rules.replace_one({"_id": rule_id}, fields, upsert=True)

    async def rule_is_known(self, rule_id: str, subject: str) -> None:
        """Wait until every edge that a connection may reach answers by this rule."""

        async def known() -> bool:
            async for answer in self.of_every_edge(subject):
                if not answer.names(rule_id):
                    return False
            return True

        await eventually(known, 30, f"rule {rule_id} is known")

    async def of_every_edge(self, subject: str, target: str = "/_penstock/limits") -> "AsyncIterator[Answer]":
        """Answers over connections of their own: so many that the kernel gave each edge one (but once in 10^10)."""
        edges = sum(part.role == "edge" and part.process.poll() is None for part in self.parts)
        edges = edges or MOST_EDGES  # where others started them
        asked = 1 if edges == 1 else math.ceil(math.log(1e-10 / edges) / math.log(1 - 1 / edges))
        for _ in range(asked):
            yield await self.request("GET", target, subject, headers={"Connection": "close"})

    def auth(self, subject: str) -> dict[str, str]:
        """The header of a caller, who has one token as clients have: edges verify each token that is new to them."""
        token = self._tokens.get(subject)
        if token is None:
            token = self._tokens[subject] = self.issuer.token(subject)
        return {"Authorization": f"Bearer {token}"}

    async def request(self, method: str, target: str, subject: str | None = None, **more: Any) -> "Answer":  # noqa: ANN401
        headers = more.pop("headers", {}) | (self.auth(subject) if subject else {})
        async with self.http.request(method, self.url + target, headers=headers, **more) as response:
            return Answer(response.status, response.headers, await response.read())

    async def job(self, job_id: str, subject: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.request("GET", f"/_penstock/jobs/{job_id}", subject)).json()
        return found

    async def ended(self, job_id: str, subject: str, within_s: float = 30.0) -> dict[str, Any]:
        """Wait until a job is final, and return it."""
        found: dict[str, Any] = {}

        async def final() -> bool:
            nonlocal found
            found = await self.job(job_id, subject)
            return found["status"] in {"succeeded", "failed", "canceled"}

        await eventually(final, within_s, f"job {job_id} is final")
        return found

    async def arrivals(self) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.upstream}/-/arrivals") as response:
            found: list[dict[str, Any]] = await response.json()
            return found

    async def release(self, name: str) -> None:
        """Let the app server answer the requests that ask it to `?hold=NAME`."""
        async with self.http.put(f"{self.upstream}/-/release/{name}") as response:
            assert response.status == 204

    async def arrived_so_far(self) -> int:
        async with self.http.get(f"{self.upstream}/-/count") as response:
            return int(await response.text())

    async def arrived(self, count: int, within_s: float = 60.0) -> list[dict[str, Any]]:
        """Wait for this many arrivals at least."""

        async def enough() -> bool:
            return await self.arrived_so_far() >= count

        await eventually(enough, within_s, f"{count} arrivals")
        return await self.arrivals()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.body)

    def names(self, rule_id: str) -> bool:
        """Whether this is a string in the JSON of the body, and not only a part of one: `main` is in `remaining`."""
        return json.dumps(rule_id).encode() in self.body


def _kafka(settings: Settings) -> dict[str, str]:
    if settings.queue != "kafka":
        return {}
    return {
        "PENSTOCK_QUEUE": "kafka",
        "PENSTOCK_KAFKA_BOOTSTRAP": ",".join(settings.kafka_bootstrap),
        "PENSTOCK_KAFKA_TOPIC": settings.kafka_topic,
        "PENSTOCK_KAFKA_DEAD_LETTER_TOPIC": settings.kafka_dead_letter_topic,
        "PENSTOCK_KAFKA_GROUP": settings.kafka_group,
        "PENSTOCK_KAFKA_PARTITIONS": str(settings.kafka_partitions),
        "PENSTOCK_QUEUE_PARTITIONS": str(settings.queue_partitions),
    }


@asynccontextmanager
async def running(
    settings: Settings,
    log_dir: Path,
    *,
    syncs: int = 1,
    edges: int = 1,
    workers: int = 1,
    record_slots: bool = False,
    issuer: Issuer | None = None,
    **environment: str,
) -> AsyncIterator[System]:
    """Sync, edges, workers and an app server, ready; all of it is ended afterwards.

    `record_slots`: workers reach the cache Redis through a proxy that notes the slots that they are granted.
    """
    issuer = issuer or Issuer()
    mongo = mongo_client(settings.mongodb_url)
    try:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)))
            system = System(settings, log_dir, issuer, mongo[settings.mongodb_database]["rules"], http, {})
            if record_slots:
                system.slots = await stack.enter_async_context(recorded(settings.cache_redis_url))
            system.environment |= {
                "PENSTOCK_MONGODB_URL": settings.mongodb_url,
                "PENSTOCK_MONGODB_DATABASE": settings.mongodb_database,
                "PENSTOCK_CACHE_REDIS_URL": settings.cache_redis_url,
                "PENSTOCK_QUEUE_REDIS_URL": settings.queue_redis_url,
                "PENSTOCK_JWKS_URL": issuer.url,
                "PENSTOCK_JWT_ISSUER": "test",
                "PENSTOCK_UPSTREAMS": system.upstream,
                "PENSTOCK_POLL_LIMIT_PER_S": "100000",
                "PENSTOCK_IDENTITY": "off",
                "PENSTOCK_DRAIN_S": "0",
                # Two busy cores: what is about rates must not fall back to local counting.
                "PENSTOCK_COUNTERS_TIMEOUT_MS": "2000",
                "PENSTOCK_RULES_TIMEOUT_MS": "20000",
                "PENSTOCK_CACHE_TIMEOUT_MS": "10000",
                **_kafka(settings),
                **environment,
            }
            try:
                system.app_server()
                for _ in range(syncs):
                    system.spawn("sync")
                for _ in range(edges):
                    system.edge()
                for _ in range(workers):
                    system.worker()
                await system.ready()
                yield system
            finally:
                system.end()
    finally:
        mongo.close()
        issuer.close()
