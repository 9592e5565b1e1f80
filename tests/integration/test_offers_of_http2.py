"""Clients that offer HTTP/2 with their requests get their answers in HTTP/1.1."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.edge_in_process import Edge, Exchange, edge_running
from tests.support.needs import missing

JAVA = Path(__file__).parents[1] / "clients" / "OffersHttp2.java"


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache) as running:
        running.app_server.handler = says_how_much
        yield running


async def says_how_much(exchange: Exchange) -> None:
    """The size of the body is the answer."""
    headers, size = dict(exchange.headers), 0
    if headers.get(b"transfer-encoding") == b"chunked":
        while length := int(await exchange.reader.readline(), 16):
            size += len(await exchange.reader.readexactly(length))
            await exchange.reader.readline()
    else:
        size = len(await exchange.reader.readexactly(int(headers.get(b"content-length", 0))))
    await exchange.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%d" % (len(str(size)), size))


def command(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed (Debian: apt-get install {package})")
    return found


async def output(*command: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines()


async def test_javas_own_client(edge: Edge) -> None:
    command("javac", "default-jdk-headless")
    lines = await output(
        command("java", "default-jdk-headless"), "-Xmx128m", str(JAVA), f"http://127.0.0.1:{edge.port}/"
    )
    each = ["POST HTTP_1_1 200 {0}", "GET HTTP_1_1 200 0", "POST HTTP_1_1 200 {0}"]
    assert lines == [line.format(size) for size in (5, 200_000) for line in each] + ["GET HTTP_1_1 200 0"]


@pytest.mark.parametrize(("arguments", "said"), [([], "0"), (["--data", "abc"], "3"), (["-T", "-"], "0")])
async def test_curl(edge: Edge, arguments: list[str], said: str) -> None:
    options = ("--silent", "--http2", "--write-out", " %{http_version} %{http_code}")
    lines = await output(command("curl", "curl"), *options, *arguments, f"http://127.0.0.1:{edge.port}/")
    assert lines == [f"{said} 1.1 200"]
