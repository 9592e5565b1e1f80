"""Bodies that could mean two things, or nothing, or too much: refused, with the reason, and nothing is done."""

import json
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from app.web.excerpt import one_line
from sync.publisher import Publisher
from tests.support.admin_in_process import Admin
from tests.support.rules import RULE, publish_all

JSON = orjson.dumps(RULE)
OTHER = RULE | {"limit": 9}
TAKE_BODIES = [
    ("POST", "/v1/rules", OTHER | {"rule_id": "new"}),
    ("PUT", "/v1/rules/r", OTHER),
    ("PATCH", "/v1/rules/r", {"limit": 9}),
    ("PUT", "/v1/rules/r/drain", {"limit": 1, "window_seconds": 1}),
    ("POST", "/v1/explain", {"user": "u"}),
    ("POST", "/v1/dead-letters/replay", {"ids": []}),
    ("POST", "/v1/operations", {"kind": "delete_dead_letters", "filter": {}}),
]
NAMES = [f"{method} {path}" for method, path, _ in TAKE_BODIES]

NO_JSON = {
    "nothing": b"",
    "half": b'{"limit": ',
    "two": b"{} {}",
    "NaN": b'{"limit": NaN}',
    "infinity": b'{"limit": -Infinity}',
    "no UTF-8": b'{"limit": "\xff"}',
    "UTF-16": '{"limit": 1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a lone surrogate": rb'{"limit": "\ud800"}',
    "a lone surrogate as a name": rb'{"\ud800": 1}',
    "deep": b'{"limit":' * 100_000 + b"1" + b"}" * 100_000,
    "deep arrays": b"[" * 900 + b"]" * 900,
    "a list": b"[]",
    "a string": b'"limit"',
    "null": b"null",
}


@pytest.fixture(autouse=True)
async def rule(admin: Admin, cache: Redis) -> None:
    await publish_all(Publisher(cache), [], 1)
    await admin("POST", "/v1/rules", RULE)


async def unchanged(admin: Admin) -> bool:
    documents = [document async for document in admin.rules.find()]
    return [(one["_id"], one["limit"], one["version"]) for one in documents] == [("r", 5, 1)]


def is_problem(answer: Any, status: int) -> str:  # noqa: ANN401
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json"), answer.text
    fields = answer.json()
    assert (fields["status"], fields["type"]) == (status, "about:blank")
    detail: str = fields["detail"]
    return detail


@pytest.mark.parametrize(("method", "path", "good"), TAKE_BODIES, ids=NAMES)
async def test_what_is_no_json_object_is_refused(admin: Admin, method: str, path: str, good: object) -> None:
    for what, content in NO_JSON.items():
        answer = await admin(method, path, content=content)
        assert answer.status_code in {400, 422}, (what, answer.text)
        is_problem(answer, answer.status_code)
    assert await unchanged(admin)
    assert (await admin(method, path, good)).is_success, "the others were refused for what they were"


@pytest.mark.parametrize(("method", "path", "good"), TAKE_BODIES, ids=NAMES)
async def test_a_body_of_any_depth_is_refused_for_it_or_for_what_it_holds(
    admin: Admin, method: str, path: str, good: object
) -> None:
    for depth in (100, 500, 800, 900, 940, 980, 1020, 1024, 1025, 5000):
        for content in (b'{"queue":' * depth + b"1" + b"}" * depth, b'{"queue":' + b"[" * depth + b"]" * depth + b"}"):
            answer = await admin(method, path, content=content)
            assert answer.status_code in {400, 422}, (depth, answer.text)
            is_problem(answer, answer.status_code)
    assert (await admin(method, path, good)).is_success


@pytest.mark.parametrize(("method", "path", "good"), TAKE_BODIES, ids=NAMES)
async def test_a_name_given_twice_is_refused_and_named(admin: Admin, method: str, path: str, good: Any) -> None:  # noqa: ANN401
    name, value = next(iter(good.items()))
    member = orjson.dumps({name: value})[1:-1]
    rest = orjson.dumps({other: value for other, value in good.items() if other != name})[1:-1]
    for content in (
        b"{" + b",".join(filter(None, [member, member, rest])) + b"}",
        b"{" + b",".join(filter(None, [member, rest, b'"match":{"path_prefix":"/a","path_prefix":"/b"}'])) + b"}",
    ):
        assert "twice" in is_problem(await admin(method, path, content=content), 400)
    assert await unchanged(admin)


@pytest.mark.parametrize(("method", "path", "good"), TAKE_BODIES, ids=NAMES)
async def test_an_unknown_field_is_refused_and_named(admin: Admin, method: str, path: str, good: Any) -> None:  # noqa: ANN401
    for name in ("more", "$set", "limit\0", "__proto__"):
        problem = is_problem(await admin(method, path, good | {name: 1}), 422)
        assert name in problem or one_line(name) in problem
    assert await unchanged(admin)


@pytest.mark.parametrize(("method", "path", "good"), TAKE_BODIES, ids=NAMES)
async def test_another_type_of_body_is_refused(admin: Admin, method: str, path: str, good: object) -> None:
    content = orjson.dumps(good)
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json", "*/*"):
        is_problem(await admin(method, path, content=content, Content_Type=media_type), 415)
    assert await unchanged(admin)
    answer = await admin(method, path, content=content, Content_Type="Application/JSON; charset=utf-8")
    assert answer.is_success, answer.text


async def test_a_merge_patch_may_say_that_it_is_one(admin: Admin) -> None:
    answer = await admin("PATCH", "/v1/rules/r", content=b'{"limit":9}', Content_Type="application/merge-patch+json")
    assert (answer.status_code, answer.json()["limit"]) == (200, 9)


@pytest.mark.parametrize(("method", "path", "good"), TAKE_BODIES, ids=NAMES)
async def test_a_body_above_a_mebibyte_is_refused(admin: Admin, method: str, path: str, good: object) -> None:
    whole = orjson.dumps(good)
    assert (await admin(method, path, content=whole + b" " * ((1 << 20) - len(whole)))).is_success

    async def chunks() -> Any:  # noqa: ANN401
        for _ in range(17):
            yield b" " * (1 << 16)

    token = admin.issuer.token("ops", aud="penstock-admin", penstock_role="admin")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    is_problem(await admin(method, path, content=b" " * ((1 << 20) + 1)), 413)
    is_problem(await admin.client.request(method, path, content=chunks(), headers=headers), 413)


async def test_a_put_or_patch_of_another_rules_id_is_refused(admin: Admin) -> None:
    for method in ("PUT", "PATCH"):
        for rule_id in ("other", "", None, 5, ["r"]):
            assert is_problem(await admin(method, "/v1/rules/r", OTHER | {"rule_id": rule_id}), 422).startswith(
                "rule_id"
            )
    assert await unchanged(admin)


@pytest.mark.parametrize(
    ("patch", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": None}, "limit"),
        ({"limit": 10**300}, "limit"),
        ({"limit": 10**400}, "The body is not valid JSON"),
        ({"cost": 6}, "cost"),
        ({"key_value": None}, "key_value"),
        ({"key_type": "default"}, "key_value"),
        ({"key_type": "ip"}, "key_value"),
        ({"drain": {"limit": 1}}, "drain.window_seconds"),
        ({"queue": {"max_depth": "deep"}}, "queue.max_depth"),
        ({"queue": 5}, "queue"),
        ({"match": {"methods": ["GET\n"]}}, "match.methods"),
        ({"key_type": "claim:tier\n"}, "key_type"),
        ({"window_seconds": 1e300}, "window_seconds"),
    ],
)
async def test_a_patch_that_makes_no_rule_replaces_nothing(admin: Admin, patch: dict[str, Any], named: str) -> None:
    answer = await admin("PATCH", "/v1/rules/r", content=json.dumps(patch).encode())
    assert is_problem(answer, answer.status_code).startswith(named)
    assert answer.status_code in {400, 422}
    assert await unchanged(admin)


async def test_merge_patches_are_those_of_the_rfc(admin: Admin) -> None:
    full = OTHER | {"match": {"methods": ["GET"], "path_prefix": "/a"}, "queue": {"max_depth": 5, "max_attempts": 2}}
    await admin("PUT", "/v1/rules/r", full)
    patch = {"match": {"methods": None}, "queue": {"max_depth": 6}, "burst": 3, "version": 77, "updated_by": "me"}
    patched = (await admin("PATCH", "/v1/rules/r", patch)).json()
    assert (patched["match"], patched["queue"]) == ({"path_prefix": "/a"}, {"max_depth": 6, "max_attempts": 2})
    assert (patched["burst"], patched["version"], patched["updated_by"]) == (3, 3, "ops")
    emptied = (await admin("PATCH", "/v1/rules/r", {"match": None, "queue": None, "burst": None})).json()
    assert {"match", "queue", "burst"}.isdisjoint(emptied)
    assert (await admin("PATCH", "/v1/rules/r", {})).json()["limit"] == 9


@pytest.mark.parametrize("rule_id", ["%00", "a%00b", "%ED%A0%80", "%FF", "..%2f..", "A", "a" * 65, "r%0A", "%24where"])
async def test_ids_that_no_rule_has_are_not_found_or_refused(admin: Admin, rule_id: str) -> None:
    for method, path, body in [
        ("GET", "", None),
        ("GET", "/history", None),
        ("PUT", "", OTHER),
        ("PATCH", "", {"limit": 9}),
        ("DELETE", "", None),
        ("PUT", "/drain", {"limit": 1, "window_seconds": 1}),
        ("DELETE", "/drain", None),
        ("POST", "/drain/pause", None),
        ("POST", "/drain/purge", None),
    ]:
        answer = await admin(method, f"/v1/rules/{rule_id}{path}", body)
        assert answer.status_code in {404, 405, 422}, (method, path, answer.text)
        is_problem(answer, answer.status_code)
        for more in ("", "/replay"):
            answer = await admin("POST" if more else "GET", f"/v1/dead-letters/{rule_id}{more}")
            is_problem(answer, 404)
    assert await unchanged(admin)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=1e3",
        f"limit={10**30}",
        "rule_id=R!",
        "rule_id=%00",
        "after=" + "x" * 65,
    ],
)
async def test_parameters_out_of_bounds_are_refused_and_named(admin: Admin, query: str) -> None:
    detail = is_problem(await admin("GET", f"/v1/dead-letters?{query}"), 422)
    assert detail.startswith(f"query.{query.partition('=')[0]}")


async def test_a_document_by_hand_that_is_no_rule_can_be_seen_replaced_and_deleted(admin: Admin) -> None:
    for rule_id in ("bad", "No Such Id"):
        await admin.rules.insert_one({"_id": rule_id, "limit": "x"})
    for method, path, body in [("GET", "", None), ("PATCH", "", {"priority": 1}), ("POST", "/drain/pause", None)]:
        assert "replace it" in is_problem(await admin(method, f"/v1/rules/bad{path}", body), 409)
    listed = (await admin("GET", "/v1/rules")).json()["invalid"]
    assert [one["rule_id"] for one in listed] == ["No Such Id", "bad"]
    assert (await admin("PUT", "/v1/rules/bad", RULE | {"rule_id": "bad"})).status_code == 200
    assert (await admin("DELETE", "/v1/rules/No%20Such%20Id")).status_code == 204
    assert (await admin("GET", "/v1/rules")).json()["invalid"] == []
