"""App servers that answer nothing, nonsense, half an answer, or too late: jobs end as their rules say."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.settings import Settings
from tests.support.account import account
from tests.support.fault_proxy import Fault, proxied
from tests.support.ledger import Client, Ledger
from tests.support.system import System, running

ATTEMPTS = 3
RULE: dict[str, Any] = {
    "key_type": "user",
    "key_value": "*",
    "limit": 1,
    "window_seconds": 36_000,
    "on_limit": "defer",
    "drain": {"limit": 50, "window_seconds": 1},
    "queue": {"max_attempts": ATTEMPTS},
}
QUICK: Any = {
    "PENSTOCK_RETRY_BASE_S": "0.1",
    "PENSTOCK_RETRY_MAX_S": "0.2",
    # Longer than a busy machine stops the process that answers, which is this one.
    "PENSTOCK_UPSTREAM_READ_TIMEOUT_S": "1.5",
    "PENSTOCK_UPSTREAM_CONNECT_TIMEOUT_S": "1.5",
}
HALF, NEVER = "/half", "/never"
ANSWERS = {
    "/nothing": b"",
    "/garbage": b"\x00\xffthis is no HTTP\r\n\r\n",
    HALF: b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbut the begin",
    "/headers": b"HTTP/1.1 200 OK\r\nX-Endless: " + b"a" * 200_000,
    "/status": b"HTTP/1.1 999 Whatever\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n",
}
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine"


class Nonsense:
    """An app server that answers as ANSWERS says, answers targets in `healed` well, and counts what arrives.

    One that `heals` answers all but the first request of each target well. It cuts an answer once that may be: a moment
    after it was written, or when the test says that its beginning has been seen.
    """

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.healed: set[str] = set()
        self.heals = False
        self.beginning_was_seen: asyncio.Event | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await self._answer(head.split()[1].decode(), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):  # the other side closed the connection
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen[path] += 1
        if path == NEVER:
            await reader.read()  # until the other side closes the connection
            return
        is_well = path in self.healed or (self.heals and self.seen[path] > 1)
        writer.write(FINE if is_well else ANSWERS[path])
        await writer.drain()
        if self.beginning_was_seen is not None:
            await self.beginning_was_seen.wait()
        else:
            await asyncio.sleep(0.05)  # so that what was written is read before it is cut
        with suppress(OSError):  # the other side closed first
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@asynccontextmanager
async def nonsense() -> AsyncIterator[tuple[Nonsense, str]]:
    server = Nonsense()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        yield server, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        await asyncio.sleep(0.1)  # so that the handlers end before the event loop does


async def know_rule(system: System) -> None:
    await system.put_rule("r", **RULE)
    await system.rule_is_known("r", "u")


async def test_each_bad_answer_uses_an_attempt_and_the_last_is_a_dead_letter(
    settings: Settings, tmp_path: Path
) -> None:
    paths = [*ANSWERS, NEVER]
    async with nonsense() as (server, url), running(settings, tmp_path, PENSTOCK_UPSTREAMS=url, **QUICK) as system:
        await know_rule(system)
        server.healed |= {"/live"}
        assert (await system.request("POST", "/live", "u")).status == 200
        jobs = {path: (await system.request("POST", path, "u")).json()["id"] for path in paths}
        for path, job in jobs.items():
            ended = await system.ended(job, "u", 60)
            found = (ended["status"], ended["attempts"], ended["error"]["code"], server.seen[path])
            assert found == ("failed", ATTEMPTS, "attempts_exhausted", ATTEMPTS), path
            answer = await system.request("GET", f"/_penstock/jobs/{job}/response", "u")
            assert (answer.status, answer.json()["error"]["code"]) == (502, "attempts_exhausted"), path


async def test_a_job_succeeds_if_its_endpoint_heals_in_time(settings: Settings, tmp_path: Path) -> None:
    patient = QUICK | {"PENSTOCK_UPSTREAM_READ_TIMEOUT_S": "30", "PENSTOCK_UPSTREAM_CONNECT_TIMEOUT_S": "30"}
    async with nonsense() as (server, url), running(settings, tmp_path, PENSTOCK_UPSTREAMS=url, **patient) as system:
        await know_rule(system)
        server.healed |= {"/live"}
        await system.request("POST", "/live", "u")
        server.heals = True
        jobs = {path: (await system.request("POST", path, "u")).json()["id"] for path in ANSWERS}
        for path, job in jobs.items():
            ended = await system.ended(job, "u")
            assert (ended["status"], ended["attempts"], server.seen[path]) == ("succeeded", 2, 2), path
            assert (await system.request("GET", f"/_penstock/jobs/{job}/response", "u")).body == b"fine"


async def test_a_live_request_gets_a_502_a_504_or_a_cut_and_never_a_500(settings: Settings, tmp_path: Path) -> None:
    async with (
        nonsense() as (server, url),
        running(settings, tmp_path, workers=0, PENSTOCK_UPSTREAMS=url, **QUICK) as system,
    ):
        found: dict[str, int | None] = {}
        for path in [path for path in (*ANSWERS, NEVER) if path != HALF]:
            try:
                found[path] = (await system.request("GET", path)).status
            except aiohttp.ClientError:
                found[path] = None
        assert found.pop("/chunks") in {502, None}, "it depends on how the bytes arrive whether the answer has begun"
        before = dict.fromkeys(["/nothing", "/garbage", "/headers", "/status"], 502)
        assert found == {NEVER: 504} | before
        server.beginning_was_seen = asyncio.Event()
        async with system.http.get(system.url + HALF) as answer:
            assert answer.status == 200
            server.beginning_was_seen.set()
            with pytest.raises(aiohttp.ClientPayloadError):  # it is not taken for complete
                await answer.read()


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.RESET, Fault.HANG], ids=lambda fault: fault.value)
async def test_app_servers_that_cannot_be_reached_for_a_while_cost_no_job(
    settings: Settings, tmp_path: Path, fault: Fault
) -> None:
    """Refused connections use no attempt; connections that are cut or silent do, and no job is lost."""
    async with running(settings, tmp_path, workers=0, **QUICK) as system, proxied(system.upstream) as (url, proxy):
        patient = RULE | {"queue": {"max_attempts": 50}}
        await system.put_rule("r", **patient)
        await system.rule_is_known("r", "u")
        await system.ready(system.worker(PENSTOCK_UPSTREAMS=url))
        ledger = Ledger(tmp_path / "promises.jsonl")
        client = Client(system, "u", ledger)
        for number in range(40):
            await client.send(number)
        await proxy.set(fault)
        for number in range(40, 100):
            await client.send(number)
        await asyncio.sleep(2)
        away = arrived(system)
        await proxy.set(Fault.NONE)
        found = await account(system, ledger)
        assert len(found.promised) == 99
        assert set(found.statuses) == {"succeeded"}
        assert len(found.arrivals) > away, "some jobs had to wait"
        attempts = {job["attempts"] for job in found.outcomes.values()}
        print(f"{fault.value}: {found.duplicates} sent twice, attempts {sorted(attempts)}")
        if fault is Fault.REFUSE:
            in_doubt = [job for job in found.outcomes.values() if job["attempts"] > 1]
            assert found.duplicates <= len(in_doubt) <= 20, (
                "only jobs that were in flight when the connections were reset"
            )


def arrived(system: System) -> int:
    return sum('"job": "' in line for line in system.arrivals_ledger.read_text().splitlines())


async def test_a_slow_app_server_delays_its_own_jobs_alone(settings: Settings, tmp_path: Path) -> None:
    """With latency between worker and app server every job arrives once, because leases are extended.

    A lease is so long that only one that is not extended ends, and not one whose worker a busy machine holds up.
    """
    lease_s = 4.0
    slow: Any = {"PENSTOCK_LEASE_S": str(lease_s), "PENSTOCK_RECLAIM_INTERVAL_S": "0.3"}
    async with running(settings, tmp_path, workers=0, **slow) as system, proxied(system.upstream) as (url, proxy):
        await know_rule(system)
        await system.ready(system.worker(PENSTOCK_UPSTREAMS=url))
        proxy.latency_s = 0.6 * lease_s  # both ways, which is longer than the lease
        ledger = Ledger(tmp_path / "promises.jsonl")
        client = Client(system, "u", ledger)
        for number in range(60):
            await client.send(number)
        assert proxy.connections > 0, "the worker behind the slow proxy has begun"
        await system.ready(system.worker())  # it would take over jobs whose leases end
        found = await account(system, ledger)
        assert set(found.statuses) == {"succeeded"}
        assert found.duplicates == 0, "a lease is extended for as long as its worker lives"
        assert {job["attempts"] for job in found.outcomes.values()} == {1}
