"""The load balancer of docker-compose.yml, as it is configured there, before two edges."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from app.settings import Settings
from tests.support.nginx import nginx_command
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.system import System, running
from tests.support.waiting import eventually


@pytest.fixture
async def system(settings: Settings, tmp_path: Path) -> AsyncIterator[System]:
    """Two edges on ports of their own, which trust the load balancer; `edge_port` is the load balancer's."""
    command = nginx_command()
    async with running(settings, tmp_path, edges=0, PENSTOCK_TRUSTED_PROXIES="127.0.0.1/32") as started:
        ports = [free_port(), free_port()]
        for port in ports:
            started.spawn("edge", "--host", "127.0.0.1", "--port", str(port))
        await started.ready()
        file = configured(started.edge_port, ports, tmp_path)
        nginx = await asyncio.create_subprocess_exec(command, "-p", str(tmp_path), "-c", str(file))
        try:
            await eventually(lambda: answers(started), 30, "the load balancer answers")
            yield started
        finally:
            nginx.terminate()
            await nginx.wait()


def configured(port: int, edges: list[int], folder: Path) -> Path:
    """The file itself, with this machine's ports, and no daemon nor file outside of the test's folder."""
    text = (ROOT / "scripts" / "nginx" / "nginx.conf").read_text()
    for number, edge in enumerate(edges, 1):
        text = text.replace(f"edge-{number}:8080", f"127.0.0.1:{edge}")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    assert not re.search(r"edge-\d|listen 80\b", text)
    own = f"daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n"
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(own + text.replace("http {", f"http {{ access_log off; {paths}", 1))
    return file


async def answers(system: System) -> bool:
    try:
        return (await system.request("GET", "/_penstock/healthz")).status == 200
    except aiohttp.ClientError:
        return False


async def decisions(system: System) -> list[float]:
    """Of each edge, how many requests it has decided about."""
    counts = []
    for part in system.parts:
        if part.role == "edge":
            async with system.http.get(f"{part.ops_url}/metrics") as response:
                found = re.findall(r"^penstock_requests_total\{.*\} (\S+)$", await response.text(), re.MULTILINE)
                counts.append(sum(map(float, found)))
    return counts


FORGED = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-User": "admin",
    "X-Forwarded-Prefix": "/admin",
    "Forwarded": "for=203.0.113.7",
    "X-Real-IP": "203.0.113.7",
    "True-Client-IP": "203.0.113.7",
    "X-Original-URL": "/admin",
}


async def test_one_limit_over_both_edges_by_the_clients_address(system: System) -> None:
    """Whatever a client claims to be."""
    await system.put_rule("each", key_type="ip", key_value="*", limit=5, window_seconds=3600)
    await system.rule_is_known("each", "someone")

    async def get(address: str, number: int) -> int:
        claims = FORGED | {"X-Forwarded-For": f"203.0.113.{number}"}
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(address, 0))) as client,
            client.get(f"{system.url}/x", headers=claims) as answer,
        ):
            return answer.status

    assert [await get("127.0.0.7", n) for n in range(10)] == [200] * 5 + [429] * 5
    assert await get("127.0.0.8", 0) == 200
    assert min(await decisions(system)) >= 4, "the load balancer takes turns"
    arrived = [one["headers"] for one in await system.arrivals()]
    mine = [headers for headers in arrived if headers.get("X-Forwarded-For", "").startswith("127.0.0.7")]
    assert len(mine) == 5
    for headers in mine:
        lower = {name.lower(): value for name, value in headers.items()}
        assert lower["x-forwarded-for"] == "127.0.0.7, 127.0.0.1"
        assert lower["x-real-ip"] == "127.0.0.7"
        assert lower["x-forwarded-proto"] == "http"
        assert lower["x-forwarded-host"] == system.url.removeprefix("http://")
        assert not {name.lower() for name in FORGED} & lower.keys() - {
            "x-forwarded-proto", "x-forwarded-host", "x-real-ip",
        }  # fmt: skip


async def test_an_edge_that_dies_is_not_missed(system: System) -> None:
    next(part for part in system.parts if part.role == "edge").kill()
    statuses = [(await system.request("GET", "/")).status for _ in range(20)]
    assert statuses == [200] * 20
