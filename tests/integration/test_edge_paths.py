"""Paths on the running edge: the rule that applies is the rule of the path that the app server sees."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.edge_in_process import Edge, edge_running, in_force, said


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    # Two busy cores: what is about paths must not fail for late rules.
    async with edge_running(settings, cache) as running:
        yield running


def arrived(edge: Edge) -> list[bytes]:
    return [exchange.head.split(b" ")[1] for exchange in edge.app_server.arrived]


SAME = [
    "/admin",
    "/admin/",
    "/admin/x",
    "//admin/x",
    "/admin//x",
    "/%61dmin/x",
    "/admin%2fx",
    "/admin%2Fx",
    "/%2fadmin/x",
    "/admin;x=1/y",
    "/admin;/y",
    "/;/admin/x",
    "/admin%3b/x",
    "/admin?x",
    "/admin/x?y=/../..",
    "/%61%64%6d%69%6e",
    "http://edge.test/admin/x",
    "http://edge.test//admin/x",
]
OTHERS = ["/", "/administrator", "/ADMIN/x", "/x/admin", "/%2561dmin/x", "/x?/admin", "/admin%252fx", "/x;/admin"]


async def test_a_rule_for_a_prefix_applies_however_the_path_is_spelled(edge: Edge) -> None:
    await edge.rule("admin", key_type="ip", key_value="*", limit=1, window_seconds=1e6, match={"path_prefix": "/admin"})
    assert (await edge.get("/admin/first")).status == 200
    for target in SAME:
        answer = await edge.get(target)
        assert (answer.status, answer.json()["violated-policies"]) == (429, ["admin"]), target
    assert arrived(edge) == [b"/admin/first"]
    for target in OTHERS:
        assert (await edge.get(target)).status == 200, target
    assert arrived(edge)[1:] == [target.encode() for target in OTHERS], "as they came"


async def test_prefix_and_path_are_compared_in_one_form(edge: Edge) -> None:
    spelled = {
        "/caf\u00e9": ["/caf%C3%A9", "/caf%c3%a9/x", "/%63af%c3%A9", "//caf%C3%A9"],
        "/k%C3%A9": ["/k%c3%a9", "/k%C3%A9"],
        "/my%20docs": ["/m%79%20docs", "/my%20docs/a"],
        "/your docs": ["/your%20docs"],
        "/100%": ["/100%25"],
    }
    for number, (prefix, targets) in enumerate(spelled.items()):
        one = {"key_type": "ip", "key_value": "127.0.0.1", "limit": 1, "window_seconds": 1e6}
        await edge.rule(f"r{number}", **one, match={"path_prefix": prefix})
        await in_force(edge, f"r{number}", path=quote(prefix))
        statuses = [(await edge.get(target)).status for target in [*targets, targets[0]]]
        assert statuses == [200] + [429] * len(targets), prefix
        assert arrived(edge)[-1] == targets[0].encode(), "forwarded as it came"


async def test_where_the_forms_of_a_path_have_different_rules_the_stricter_applies(edge: Edge) -> None:
    await edge.rule("strict", key_type="ip", key_value="*", limit=10, window_seconds=1e6, match={"path_prefix": "/a"})
    await edge.rule(
        "loose", key_type="ip", key_value="127.0.0.1", limit=1000, window_seconds=1e6, match={"path_prefix": "/a/b"}
    )
    seen = {
        target: (await edge.get(target)).headers["ratelimit-policy"].partition(";")[0]
        for target in ("/a/b", "//a//b", "/a/%62", "/a/b;x", "/a/c", "/a%2fb")
    }
    assert seen == {
        "/a/b": '"loose"',
        "//a//b": '"loose"',
        "/a/%62": '"loose"',  # everybody takes it for /a/b
        "/a/b;x": '"strict"',
        "/a/c": '"strict"',
        "/a%2fb": '"loose"',
    }


@pytest.mark.parametrize(
    "target",
    [
        "/a/../b",
        "/a/./b",
        "/..",
        "/a/%2e%2e/b",
        "/a/%2E%2e%2fb",
        "/a/..%2fb",
        "/a%5c..%5cb",
        "/a\\b",
        "/a%00",
        "/a/..;/b",
        "/a/%2e%2e;x/b",
        "/a/%c0%ae%c0%ae/b",
        "/%c0%af",
        "/%e0%80%af",
        "/_penstock%5c",
        "http://edge.test/a/../b",
        "/x/../_penstock/jobs",
    ],
)
async def test_paths_that_may_mean_another_are_refused(edge: Edge, target: str) -> None:
    assert (await edge.get(target)).status == 400
    assert not arrived(edge)


async def test_ours_is_never_the_app_servers_however_it_is_spelled(edge: Edge) -> None:
    for target in [
        "/_penstock",
        "/_penstock/",
        "/%5fpenstock/jobs",
        "/_penstoc%6b/jobs",
        "//_penstock/jobs",
        "/_penstock//jobs",
        "/_penstock;x/jobs",
        "/%2f_penstock/jobs",
        "/_penstock%2fjobs",
        "/_penstock/..%2fx",
        "/_penstock/../x",
        "/_penstock/%2e%2e/x",
        "/_penstock/..;/x",
        "/_penstock/nothing",
        "http://edge.test/%5fpenstock/jobs",
        "//_penstock",
    ]:
        answer = await edge.get(target)
        assert answer.status in {400, 404}, target
        assert answer.headers["cache-control"] == "no-store", target
        assert answer.headers["content-type"] == "application/problem+json", target
    assert not arrived(edge)


async def test_ours_in_absolute_form_is_ours(edge: Edge) -> None:
    assert (await edge.get("http://edge.test/_penstock/healthz")).status == 200
    assert not arrived(edge)


async def test_what_only_looks_like_ours_is_the_app_servers(edge: Edge) -> None:
    targets = ["/_PENSTOCK/jobs", "/_penstocks/jobs", "/x/_penstock/jobs", "/%255fpenstock/jobs", "/?/_penstock/jobs"]
    for target in targets:
        assert (await edge.get(target)).status == 200, target
    assert arrived(edge) == [target.encode() for target in targets]


async def test_another_host_in_the_target_chooses_nothing(edge: Edge) -> None:
    for target in ("http://evil.test/", "https://evil.test:443/x", "http://edge.test.evil.test/", "ws://edge.test/"):
        assert (await edge.get(target)).status == 400, target
    assert not arrived(edge)
    answer = said(await edge.raw(b"GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"))
    assert answer.status == 200
    assert (arrived(edge), edge.app_server.arrived[0].headers[0]) == ([b"/x"], (b"host", b"a.test"))
