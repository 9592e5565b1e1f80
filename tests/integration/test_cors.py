"""Pages of other origins: what a browser asks before, and which answers of Penstock it lets a page read."""

from collections.abc import AsyncIterator

import pytest
from pydantic import HttpUrl
from redis.asyncio import Redis

from app.errors import StartupError
from app.settings import Settings, load_settings
from tests.support.edge_in_process import EVERY_ADDRESS, EVERY_USER, Edge, Exchange, Said, edge_running, in_force, said
from tests.support.job_steps import ask
from tests.support.ports import free_port

ORIGIN = "https://shop.example"
FROM = f"Origin: {ORIGIN}"
ASKS = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization, x-mine")
PREFLIGHT = (FROM, *ASKS)
ALLOWED = "access-control-allow-origin"
EXPOSED = "Location, Operation-Location, Retry-After, RateLimit, RateLimit-Policy, Penstock-Job-Id, Penstock-Job-Status"
ON = {"cors_origins": (ORIGIN, "https://other.example"), "counters_timeout_ms": 5000.0}


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache, **ON, max_body_bytes=1000) as running:
        yield running


def cors(answer: Said) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def assert_readable(answer: Said, origin: str = ORIGIN) -> None:
    assert cors(answer) == {
        ALLOWED: origin,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": EXPOSED,
    }
    assert answer.headers["vary"] == "Origin"


async def test_the_answers_of_penstock_can_be_read(edge: Edge) -> None:
    await edge.rule("later", **EVERY_USER, limit=1, window_seconds=3600, on_limit="defer")
    await edge.rule("never", **EVERY_ADDRESS, limit=1, window_seconds=3600, match={"path_prefix": "/never"})
    alice = edge.bearer("alice")
    await in_force(edge, "later", alice)
    await edge.get("/", alice)
    deferred = await edge.get("/", alice, FROM)
    assert deferred.status == 202
    assert_readable(deferred)
    job = deferred.json()["id"]
    await edge.get("/never")
    for status, target, lines in (
        (429, "/never", []),
        (429, "/never", []),  # from the denial cache
        (401, "/", ["Authorization: Bearer x"]),
        (400, "/a/%2e%2e/b", []),
        (404, "/_penstock", []),
        (200, f"/_penstock/jobs/{job}", [alice]),
        (202, f"/_penstock/jobs/{job}/response", [alice]),
        (404, f"/_penstock/jobs/{job}", []),
        (401, "/_penstock/jobs", []),
        (422, "/_penstock/jobs?limit=x", [alice]),
        (404, "/_penstock/nothing", []),
        (200, "/_penstock/healthz", []),
    ):
        answer = await edge.get(target, *lines, FROM)
        assert answer.status == status, target
        assert_readable(answer)
        assert cors(await edge.get(target, *lines)) == {}, "nobody else asked"
    assert_readable(await edge.get("/never", "Origin: https://other.example"), "https://other.example")


async def test_refusals_of_a_body_can_be_read(edge: Edge) -> None:
    for framing, body in (("Content-Length: 1001", b""), ("Transfer-Encoding: chunked", b"3e9\r\n" + b"x" * 1001)):
        head = f"POST / HTTP/1.1\r\nHost: edge.test\r\n{FROM}\r\n{framing}\r\n\r\n"
        answer = said(await edge.raw(head.encode() + body))
        assert answer.status == 413
        assert_readable(answer)


async def test_failures_can_be_read(settings: Settings, cache: Redis) -> None:
    nowhere = {"upstreams": (HttpUrl(f"http://127.0.0.1:{free_port()}"),)}
    queue = {"queue_redis_url": f"redis://127.0.0.1:{free_port()}/0", "queue_check": "warn"}
    async with edge_running(settings, cache, **ON, **nowhere, **queue) as edge:
        await edge.rule("later", **EVERY_ADDRESS, limit=1, window_seconds=3600, on_limit="defer")
        await in_force(edge, "later")
        for status in (502, 503):
            answer = await edge.get("/", FROM)
            assert answer.status == status
            assert_readable(answer)


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((), ORIGIN, None),
        ((ORIGIN,), "https://evil.example", None),
        ((ORIGIN,), "https://shop.example.evil.example", None),
        ((ORIGIN,), "http://shop.example", None),
        ((ORIGIN,), "null", None),
        (("*",), "https://evil.example", "*"),
        (("*",), "null", "*"),
    ],
)
async def test_no_other_origin_can(
    settings: Settings, cache: Redis, origins: tuple[str, ...], origin: str, allowed: str | None
) -> None:
    async with edge_running(settings, cache, cors_origins=origins) as edge:
        expected = {ALLOWED: allowed, "access-control-expose-headers": EXPOSED} if allowed else {}
        for lines in (["Authorization: Bearer x"], []):
            assert cors(await edge.get("/_penstock/jobs", f"Origin: {origin}", *lines)) == expected
        preflight = await ask(edge, "OPTIONS", "/_penstock/jobs", f"Origin: {origin}", *ASKS)
        assert (preflight.status, preflight.headers.get(ALLOWED)) == (204, allowed)
        assert ("access-control-allow-headers" in preflight.headers) == (allowed is not None)


async def test_the_app_servers_answers_are_theirs(edge: Edge) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(
            b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: https://theirs.example\r\nContent-Length: 0\r\n\r\n"
        )

    edge.app_server.handler = handler
    assert cors(await edge.get("/", FROM)) == {ALLOWED: "https://theirs.example"}


@pytest.mark.parametrize("path", ["jobs", "jobs/0-x", "jobs/0-x/response", "limits", "healthz", "nothing"])
async def test_a_preflight_for_penstock_is_answered(edge: Edge, path: str) -> None:
    answer = await ask(edge, "OPTIONS", f"/_penstock/{path}", *PREFLIGHT)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers[ALLOWED] == ORIGIN
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, DELETE"
    assert answer.headers["access-control-allow-headers"] == "authorization, x-mine"
    assert answer.headers["cache-control"] == "no-store"
    assert not edge.app_server.arrived


@pytest.mark.parametrize("names", ["a\tb", "a,,b", "a b", "x" * 5000, "é"])
async def test_names_that_are_none_are_not_allowed(edge: Edge, names: str) -> None:
    answer = await ask(edge, "OPTIONS", "/_penstock/jobs", FROM, ASKS[0], f"Access-Control-Request-Headers: {names}")
    assert (answer.status, answer.headers.get("access-control-allow-headers")) == (204, None)


async def test_other_preflights_are_forwarded_and_cost_nothing(settings: Settings, cache: Redis) -> None:
    """Browsers send no token with them, and no page can wait for a job of one."""
    async with edge_running(settings, cache, **ON, auth="required", no_rule="deny", poll_limit_per_s=1.0) as edge:
        await edge.rule("one", **EVERY_ADDRESS, limit=1, window_seconds=3600)
        await edge.rule("later", **EVERY_USER, limit=1, window_seconds=3600, on_limit="defer")
        alice = edge.bearer("alice")
        await in_force(edge, "later", alice)
        for _ in range(20):
            assert (await ask(edge, "OPTIONS", "/x?y", *PREFLIGHT)).status == 200
            assert (await ask(edge, "OPTIONS", "/_penstock/jobs", *PREFLIGHT)).status == 204
        arrived = edge.app_server.arrived
        assert {one.head.split(b"\r\n")[0] for one in arrived} == {b"OPTIONS /x?y HTTP/1.1"}
        assert {(b"origin", ORIGIN.encode()), (b"access-control-request-method", b"POST")} <= set(arrived[0].headers)
        assert [(await ask(edge, "POST", "/x", alice)).status for _ in range(2)] == [200, 429], "all was left"


async def test_what_is_no_preflight_is_counted(edge: Edge) -> None:
    await edge.rule("one", **EVERY_ADDRESS, limit=1, window_seconds=3600)
    await in_force(edge, "one")
    assert [(await ask(edge, "OPTIONS", "/", FROM)).status for _ in range(2)] == [200, 429]
    assert (await ask(edge, "OPTIONS", "/", *ASKS)).status == 429
    assert (await ask(edge, "GET", "/", *PREFLIGHT)).status == 429
    assert (await ask(edge, "OPTIONS", "/", *PREFLIGHT, body=b"x")).status == 429, "a preflight has no body"
    assert (await ask(edge, "OPTIONS", "/a/../b", *PREFLIGHT)).status == 400
    assert (await ask(edge, "OPTIONS", "/_penstock/limits", FROM)).status == 405


@pytest.mark.parametrize(
    "value", ["shop.example", "https://shop.example/", "https://shop.example/x", "null", "*,https://a.example", "//a"]
)
def test_what_is_no_origin_is_refused_at_the_start(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_CORS_ORIGINS", value)
    with pytest.raises(StartupError, match="PENSTOCK_CORS_ORIGINS"):
        load_settings()


@pytest.mark.parametrize("value", ["", "*", "HTTPS://Shop.example, capacitor://localhost, http://[::1]:8080"])
def test_origins_are_a_list(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_CORS_ORIGINS", value)
    assert load_settings().cors_origins == tuple(filter(None, value.lower().replace(" ", "").split(",")))
