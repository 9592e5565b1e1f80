"""What a caller sends costs time in proportion to its size: the worst of each kind, as large as is allowed.

CPU time is compared with that of a quarter of the size, and bounded generously, so that a busy machine fails no test.
"""

import base64
import gc
import time
from collections.abc import Callable
from functools import cache as remembered
from typing import Any

import pytest
from redis.asyncio import Redis

from app.admin.rest.bodies import MAX_BODY_BYTES
from app.settings import Settings
from sync.publisher import Publisher
from tests.support.admin_in_process import Admin
from tests.support.edge_in_process import EVERY_ADDRESS, Edge, edge_running
from tests.support.rules import RULE, publish_all

HEAD_BYTES = 30_000
"""What a head may have with the default settings, less what the test client sends itself."""

pytestmark = pytest.mark.alone  # CPU time is compared, and other processes take the caches of a core

MAX_CPU_S = 2.5
"""All of them take less than half a second on a machine that does nothing else."""
MAX_RATIO = 8.0
"""Four times the size takes four times the time; quadratic work would take sixteen times as long."""

TOO_SHORT_TO_COMPARE_S = 0.1
MOST_TRIES = 20
"""What other processes do makes a call slower and never faster: the quickest one counts."""
Content = Callable[[int], bytes]


def repeated(item: bytes, size: int, begin: bytes = b"[", end: bytes = b"]") -> bytes:
    return begin + b",".join([item] * ((size - len(begin) - len(end)) // (len(item) + 1))) + end


def names(size: int) -> bytes:
    return b",".join(b'"%06d":0' % number for number in range((size - 100) // 11))


BODIES: dict[str, Content] = {
    "names": lambda size: b"{" + names(size) + b"}",
    "a name that occurs again at the end": lambda size: b'{"a":0,' + names(size) + b',"a":1}',
    "names of a member": lambda size: b'{"queue":{' + names(size) + b"}}",
    "one long name": lambda size: b'{"' + b"a" * (size - 9) + b'":0}',
    "one long name twice": lambda size: b'{"' + b"a" * (size // 2 - 9) + b'":0,"' + b"a" * (size // 2 - 9) + b'":0}',
    "escapes": lambda size: b'{"key_value":"' + rb"\u0041" * ((size - 20) // 6) + b'"}',
    "surrogates": lambda size: b'{"key_value":"' + rb"\ud83d\ude00" * ((size - 20) // 12) + b'"}',
    "arrays": lambda size: repeated(b"[]", size),
    "objects": lambda size: repeated(b'{"a":{}}', size),
    "deep objects": lambda size: repeated(b'{"a":' * 200 + b"1" + b"}" * 200, size),
    "too deep": lambda size: b'{"a":' * (size // 5),
    "digits": lambda size: b'{"limit":' + b"1" * (size - 20) + b"}",
    "a fraction": lambda size: b'{"limit":0.' + b"1" * (size - 20) + b"}",
    "an exponent": lambda size: b'{"limit":1e' + b"9" * (size - 20) + b"}",
    "digits as text": lambda size: b'{"limit":"' + b"1" * (size - 20) + b'"}',
    "methods": lambda size: repeated(b'"G"', size, b'{"match":{"methods":[', b"]}}"),
    "what are no methods": lambda size: repeated(b"{}", size, b'{"match":{"methods":[', b"]}}"),
    "headers": lambda size: repeated(b'"a b"', size, b'{"queue":{"drop_headers":[', b"]}}"),
    "slashes": lambda size: b'{"path":"/' + b"/%2e" * ((size - 20) // 4) + b'"}',
    "ids": lambda size: repeated(b'"0-aaaaaaaaaaaaaaaaaaaaaa"', size, b'{"ids":[', b"]}"),
    "what are no ids": lambda size: repeated(b"0", size, b'{"ids":[', b"]}"),
    "claims": lambda size: b'{"claims":{' + names(size) + b"}}",
    "white space": lambda size: b"{" + b" " * (size - 2) + b"}",
    "an open string": lambda size: b'"' + b"\\\\" * (size // 2 - 1),
}
ROUTES = [
    ("POST", "/v1/rules"),
    ("PATCH", "/v1/rules/r"),
    ("PUT", "/v1/rules/r/drain"),
    ("POST", "/v1/explain"),
    ("POST", "/v1/dead-letters/replay"),
    ("POST", "/v1/operations"),
]


def token(size: int) -> str:
    """A JWT whose claims nobody has signed."""
    parts = (b'{"alg":"ES256","kid":"k"}', b"{" + names(size // 2) + b"}", b"x" * 64)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


HEADS: dict[str, Callable[[int], str]] = {
    "a query": lambda size: "GET /_penstock/limits?" + "a=1&" * (size // 4) + " HTTP/1.1",
    "a query of one name": lambda size: "GET /_penstock/limits?" + "path=/&" * (size // 7) + " HTTP/1.1",
    "escapes in a query": lambda size: "GET /_penstock/limits?path=/" + "%2f" * (size // 3) + " HTTP/1.1",
    "ampersands": lambda size: "GET /_penstock/limits?" + "&" * size + " HTTP/1.1",
    "an unknown path": lambda size: "GET /_penstock/" + "jobs/" * (size // 5) + " HTTP/1.1",
    "an unknown method": lambda size: "PUT /_penstock/jobs/" + "a" * size + " HTTP/1.1",
    "slashes": lambda size: "GET /" + "/" * size + " HTTP/1.1",
    "percent signs": lambda size: "GET /" + "%" * size + " HTTP/1.1",
    "segments": lambda size: "GET " + "/a;b" * (size // 4) + " HTTP/1.1",
    "dots": lambda size: "GET " + "/.a" * (size // 3) + "/.. HTTP/1.1",
    "an authority": lambda size: "GET http://" + "a" * size + "/ HTTP/1.1",
    "headers": lambda size: "GET / HTTP/1.1" + "\r\nx: y" * min(80, size // 400),
    "a long name": lambda size: "GET / HTTP/1.1\r\n" + "x" * size + ": y",
    "spaces": lambda size: "GET / HTTP/1.1\r\nx:" + " " * size + "y",
    "proxies": lambda size: "GET / HTTP/1.1\r\nX-Forwarded-For: " + "192.0.2.1," * (size // 10),
    "options": lambda size: "GET / HTTP/1.1\r\nConnection: " + ",".join(map("{:05}".format, range(size // 6))),
    "many connection headers": lambda size: "GET / HTTP/1.1" + ("\r\nConnection: " + "a," * (size // 160)) * 80,
    "cookies": lambda size: "GET / HTTP/1.1\r\nCookie: " + "a=b; " * (size // 5),
    "a token": lambda size: f"GET / HTTP/1.1\r\nAuthorization: Bearer {token(size // 2)}",
    "dots of a token": lambda size: "GET / HTTP/1.1\r\nAuthorization: Bearer " + "a." * (size // 2),
    "an idempotency key": lambda size: 'POST / HTTP/1.1\r\nIdempotency-Key: "' + r"\"" * (size // 2) + '"',
    "an open idempotency key": lambda size: 'POST / HTTP/1.1\r\nIdempotency-Key: "' + "a" * size,
    "tags": lambda size: "GET /_penstock/jobs HTTP/1.1\r\nIf-Match: " + '"1", ' * (size // 5) + "x",
}


async def cpu_s(ask: Callable[[], Any]) -> float:
    """The CPU time of one call, the lesser of two where it takes long."""
    best = float("inf")
    for _ in range(2):
        gc.collect()
        gc.disable()  # a collection costs what the whole test process has allocated
        started_s = time.process_time()
        try:
            answer = await ask()
        finally:
            gc.enable()
        best = min(best, time.process_time() - started_s)
        assert is_fine(answer)
        if best < TOO_SHORT_TO_COMPARE_S:
            break
    return best


def is_fine(answer: Any) -> bool:  # noqa: ANN401
    """An answer of the admin API, or the bytes that an edge sent."""
    if isinstance(answer, bytes):
        return answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4")) and len(answer) < 5_000
    return answer.status_code < 500 and len(answer.content) < 5_000


async def is_linear(ask: Callable[[int], Callable[[], Any]], size: int) -> None:
    whole_s = await cpu_s(ask(size))
    assert whole_s < MAX_CPU_S
    if whole_s <= TOO_SHORT_TO_COMPARE_S:
        return
    quarter_s = await cpu_s(ask(size // 4))
    for _ in range(MOST_TRIES):
        if whole_s < MAX_RATIO * quarter_s:
            return
        whole_s, quarter_s = min(whole_s, await cpu_s(ask(size))), min(quarter_s, await cpu_s(ask(size // 4)))
    pytest.fail(f"{whole_s:.3f} s, and {quarter_s:.3f} s for a quarter of the size")


@pytest.mark.parametrize("kind", BODIES)
async def test_a_body_costs_time_in_proportion_to_its_size(admin: Admin, cache: Redis, kind: str) -> None:
    await publish_all(Publisher(cache), [], 1)
    await admin("POST", "/v1/rules", RULE)
    make = remembered(BODIES[kind])
    assert MAX_BODY_BYTES * 0.98 < len(make(MAX_BODY_BYTES)) <= MAX_BODY_BYTES
    for method, path in ROUTES:
        await is_linear(lambda size, m=method, p=path: lambda: admin(m, p, content=make(size)), MAX_BODY_BYTES)  # type: ignore[misc]


async def asks(edge: Edge, head: str, body: bytes = b"") -> bytes:
    return await edge.raw(f"{head}\r\nHost: edge.test\r\nConnection: close\r\n\r\n".encode() + body)


async def test_a_head_costs_time_in_proportion_to_its_size(settings: Settings, cache: Redis) -> None:
    """An edge takes heads of 32 KiB; a mebibyte is refused as it comes."""
    async with edge_running(settings, cache, bad_tokens_per_minute=1_000_000, poll_limit_per_s=1e6) as edge:
        await edge.rule("everybody", **EVERY_ADDRESS, limit=1_000_000, window_seconds=60, on_limit="defer")
        for kind, make in HEADS.items():
            print(kind)
            await is_linear(lambda size, make=make: lambda: asks(edge, make(size)), HEAD_BYTES)  # type: ignore[misc]
            assert await cpu_s(lambda make=make: asks(edge, make(1 << 20))) < MAX_CPU_S  # type: ignore[misc]


async def test_a_body_in_the_smallest_chunks_costs_time_in_proportion_to_its_size(
    settings: Settings, cache: Redis
) -> None:
    async with edge_running(settings, cache) as edge:
        await edge.rule("everybody", **EVERY_ADDRESS, limit=1, window_seconds=3600, on_limit="defer")
        head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked"
        await asks(edge, head, b"0\r\n\r\n")

        def ask(size: int) -> Callable[[], Any]:
            return lambda: asks(edge, head, b"1\r\na\r\n" * (size // 6) + b"0\r\n\r\n")

        await is_linear(ask, 1 << 20)
