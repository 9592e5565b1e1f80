"""Runs the load generator, wrk, and parses its report."""

import asyncio
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.errors import CannotRun, WrongAnswer

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class ExpectedResponse:
    """What every response of a row must have: a status, a text in the body, and headers (names in lower case)."""

    status: int
    text: str
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadResult:
    """The counts of one run of wrk."""

    requests: int
    seconds: float
    bytes: int
    unanswered: int
    refused: int
    """Responses with a status of 400 or more."""
    p50_us: int

    @property
    def answer_bytes(self) -> float:
        """The average size of a response."""
        return self.bytes / max(1, self.requests)


def need_wrk() -> str:
    """The path of wrk. Raises CannotRun if it is not installed."""
    path = shutil.which("wrk")
    if path is None:
        raise CannotRun("wrk is not on PATH (Debian: apt-get install wrk)")
    return path


def write_requests(
    path: Path, url: str, header_sets: Iterable[dict[str, str]], method: str = "GET", body: str = ""
) -> None:
    """Write one raw request for each set of headers. wrk sends them in turn."""
    host, _, target = url.removeprefix("http://").partition("/")
    requests = []
    for headers in header_sets:
        framed = {"Host": host, **headers, **({"Content-Length": str(len(body))} if body else {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in framed.items())
        requests.append(f"{method} /{target} HTTP/1.1\r\n{lines}\r\n{body}")
    path.write_text("\0".join(requests), newline="")


async def run(
    url: str, requests: Path, connections: int, seconds: int, expected: ExpectedResponse | None = None
) -> LoadResult:
    """Send requests over this many connections for this long. With `expected`, check every response.

    Raises WrongAnswer for a wrong or missing response.
    """
    options = [f"-c{connections}", "-t1", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s", str(SCRIPT)]
    check = [str(expected.status), expected.text, *expected.headers] if expected else []
    process = await asyncio.create_subprocess_exec(
        need_wrk(), *options, url, "--", str(requests), *check, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    load, wrong, first = parse(output.decode(errors="replace"))
    if load.unanswered or load.requests == 0:
        raise WrongAnswer(f"{url}: {load.requests} answers, {load.unanswered} requests without one")
    if wrong:
        raise WrongAnswer(f"{url}: {wrong} of {load.requests} answers are wrong, the first: {first}")
    return load


def parse(output: str) -> tuple[LoadResult, int, str]:
    """Parse what load.lua printed: the counts, the number of wrong responses, and the first of these."""
    line = next((line for line in output.splitlines() if line.startswith("LOAD ")), None)
    if line is None:
        raise WrongAnswer(f"wrk: {output.strip()}")
    _, requests, duration_us, received, unanswered, refused, p50_us, wrong, first = line.split(" ", 8)
    load = LoadResult(int(requests), int(duration_us) / 1e6, int(received), int(unanswered), int(refused), int(p50_us))
    return load, int(wrong), first
