"""`ETag`, `If-Match` and `If-None-Match`: nobody writes over what they have not seen, if they say what that was."""

import asyncio

import pytest
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.admin_in_process import Admin
from tests.support.rules import RULE
from tests.support.sync_steps import syncing
from tests.support.waiting import eventually

DRAIN = {"limit": 1, "window_seconds": 1}
HUGE = f'"{2**64}"'
CHANGES = [
    ("PUT", "/v1/rules/r", RULE | {"limit": 6}),
    ("PATCH", "/v1/rules/r", {"limit": 6}),
    ("PUT", "/v1/rules/r/drain", DRAIN),
    ("DELETE", "/v1/rules/r/drain", None),
    ("POST", "/v1/rules/r/drain/pause", None),
    ("POST", "/v1/rules/r/drain/resume", None),
    ("DELETE", "/v1/rules/r", None),
]
NAMES = [f"{method} {path}" for method, path, _ in CHANGES]


@pytest.fixture
async def rule(admin: Admin) -> None:
    await admin("POST", "/v1/rules", RULE)


async def version(admin: Admin) -> int:
    read = await admin("GET", "/v1/rules/r")
    found: int = read.json()["version"]
    assert read.headers["ETag"].startswith(f'"{found}-')
    return found


async def etag(admin: Admin) -> str:
    found: str = (await admin("GET", "/v1/rules/r")).headers["ETag"]
    return found


@pytest.mark.usefixtures("rule")
@pytest.mark.parametrize(("method", "path", "body"), CHANGES, ids=NAMES)
async def test_a_change_of_another_version_than_the_one_named_is_refused(
    admin: Admin, method: str, path: str, body: object
) -> None:
    current = await etag(admin)
    weak, version_only, next_version = f"W/{current}", '"1"', current.replace('"1-', '"2-')
    for tag in [next_version, weak, version_only, '""', HUGE, '"-1"', '"0"', f'"2", {weak}', current.upper()]:
        answer = await admin(method, path, body, If_Match=tag)
        assert answer.status_code == 412, (tag, answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json"
    for tag in ["1", "nonsense", '"1 "', '"1', "", '"1";', '"1" "2"', '*, "1"', "W/1", 'w/"1"', "**"]:
        assert (await admin(method, path, body, If_Match=tag)).status_code == 400, tag
    assert await version(admin) == 1


@pytest.mark.usefixtures("rule")
@pytest.mark.parametrize("tag", ["{}", "*", '"7", {}', '"7",{}', 'W/"1" , {}', None])
@pytest.mark.parametrize(("method", "path", "body"), CHANGES, ids=NAMES)
async def test_a_change_of_the_version_named_is_made(
    admin: Admin, method: str, path: str, body: object, tag: str | None
) -> None:
    named = None if tag is None else tag.format(await etag(admin))
    answer = await (admin(method, path, body) if named is None else admin(method, path, body, If_Match=named))
    assert answer.status_code == (204 if (method, path) == ("DELETE", "/v1/rules/r") else 200), answer.text
    if answer.status_code == 200:
        assert (answer.headers["ETag"], answer.json()["version"]) == (await etag(admin), 2)
        assert await version(admin) == 2


@pytest.mark.usefixtures("rule")
async def test_a_second_if_match_line_counts_too(admin: Admin) -> None:
    token = admin.issuer.token("ops", aud="penstock-admin", penstock_role="admin")
    headers = [("Authorization", f"Bearer {token}"), ("If-Match", '"7"')]
    for more, status in [('"8"', 412), (await etag(admin), 204)]:
        answer = await admin.client.delete("/v1/rules/r", headers=[*headers, ("If-Match", more)])
        assert answer.status_code == status


@pytest.mark.parametrize(("method", "path", "body"), CHANGES, ids=NAMES)
async def test_what_is_not_there_matches_nothing(admin: Admin, method: str, path: str, body: object) -> None:
    for tag in ['"1"', "*"]:
        expected = 412 if (method, path) in {("PUT", "/v1/rules/r"), ("DELETE", "/v1/rules/r")} else 404
        assert (await admin(method, path, body, If_Match=tag)).status_code == expected
    assert await admin.rules.count_documents({}) == 0


async def test_a_put_may_ask_to_write_only_what_is_new(admin: Admin) -> None:
    made = await admin("PUT", "/v1/rules/r", RULE, If_None_Match="*")
    assert (made.status_code, made.headers["ETag"]) == (201, await etag(admin))
    assert (await admin("PUT", "/v1/rules/r", RULE, If_None_Match="*")).status_code == 412
    assert (await admin("PUT", "/v1/rules/r", RULE, If_None_Match='"1"')).status_code == 400
    assert (await admin("PUT", "/v1/rules/r", RULE, If_None_Match="*", If_Match="*")).status_code == 400
    results = await asyncio.gather(*(admin("PUT", "/v1/rules/new", _named("new"), If_None_Match="*") for _ in range(8)))
    assert sorted(answer.status_code for answer in results) == [201, *[412] * 7]


@pytest.mark.usefixtures("rule")
async def test_of_many_who_saw_the_same_version_one_writes(admin: Admin) -> None:
    seen = await etag(admin)
    writes = (admin("PUT", "/v1/rules/r", RULE | {"limit": 10 + i}, If_Match=seen) for i in range(10))
    answers = await asyncio.gather(*writes)
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 9]
    assert await version(admin) == 2


@pytest.mark.usefixtures("rule")
async def test_changes_without_a_precondition_lose_nothing_of_each_other(admin: Admin) -> None:
    """Each changes another field of what it read: one that wrote over another's would undo it."""
    patches = [{"limit": 50}, {"burst": 7}, {"priority": 3}, {"shadow": True}]
    drains = [admin("PUT", "/v1/rules/r/drain", DRAIN), admin("POST", "/v1/rules/r/drain/pause")]
    answers = await asyncio.gather(*(admin("PATCH", "/v1/rules/r", patch) for patch in patches), *drains)
    assert [answer.status_code for answer in answers] == [200] * 6
    read = (await admin("GET", "/v1/rules/r")).json()
    assert {name: read[name] for name in ("limit", "burst", "priority", "shadow", "paused")} == {
        "limit": 50,
        "burst": 7,
        "priority": 3,
        "shadow": True,
        "paused": True,
    }
    assert (read["drain"], read["version"]) == ({"limit": 1, "window_seconds": 1}, 7)


@pytest.mark.parametrize("written", [None, 3.0, "x", True, -1, 2**60, float("nan"), [1]])
async def test_a_document_by_hand_may_hold_any_version(admin: Admin, written: object) -> None:
    document = {"_id": "r", "key_type": "user", "key_value": "u", "limit": 5, "window_seconds": 60}
    await admin.rules.insert_one(document | ({} if written is None else {"version": written}))
    assert (await admin("PUT", "/v1/rules/r", RULE, If_Match='"9"')).status_code == 412
    assert (await admin("DELETE", "/v1/rules/r", If_Match='"9"')).status_code == 412
    put = await admin("PUT", "/v1/rules/r", RULE)
    assert (put.status_code, put.json()["version"]) == (200, _following(written))
    await admin.rules.replace_one({"_id": "r"}, document | ({} if written is None else {"version": written}))
    assert (await admin("DELETE", "/v1/rules/r", If_Match="*")).status_code == 204


@pytest.mark.usefixtures("rule")
async def test_a_rule_made_anew_is_another_one(admin: Admin) -> None:
    seen = await etag(admin)
    assert (await admin("DELETE", "/v1/rules/r")).status_code == 204
    assert (await admin("POST", "/v1/rules", RULE)).json()["version"] == 2
    assert (await admin("PUT", "/v1/rules/r", RULE | {"limit": 6}, If_Match=seen)).status_code == 412
    assert (await admin("DELETE", "/v1/rules/r", If_Match=seen)).status_code == 412


@pytest.mark.usefixtures("rule")
@pytest.mark.parametrize(("method", "path", "body"), CHANGES, ids=NAMES)
async def test_what_a_client_of_mongodb_wrote_is_not_written_over(
    admin: Admin, method: str, path: str, body: object
) -> None:
    """It kept the version of the rule that it changed."""
    seen = await etag(admin)
    await admin.rules.update_one({"_id": "r"}, {"$set": {"limit": 7}})
    assert (await admin(method, path, body, If_Match=seen)).status_code == 412
    assert (await admin("GET", "/v1/rules/r")).json()["limit"] == 7


def _following(version: object) -> int:
    """The version after that of a document: a rule without one has version 1, and an invalid document has none."""
    return 2 if version is None else 4 if version == 3.0 else 1


def _named(rule_id: str) -> dict[str, object]:
    return RULE | {"rule_id": rule_id}


@pytest.mark.usefixtures("rule")
async def test_who_was_too_late_gets_the_change_of_the_other_with_both_versions(
    admin: Admin, settings: Settings, cache: Redis
) -> None:
    database = admin.rules.database
    seen = await admin("GET", "/v1/rules/r")
    async with syncing(database, cache, settings):
        await eventually(lambda: _is_in_history(admin, 1), 20, "the history has the version")
        await admin("PATCH", "/v1/rules/r", {"limit": 6})
        late = await admin("PUT", "/v1/rules/r", RULE | {"burst": 9}, If_Match=seen.headers["ETag"])
    assert late.status_code == 412
    problem = late.json()
    assert problem["current"] == (await admin("GET", "/v1/rules/r")).json()
    assert (problem["current"]["limit"], problem["current_etag"]) == (6, await etag(admin))
    assert problem["based_on"] == seen.json()
    assert (
        await admin("PUT", "/v1/rules/r", RULE | {"limit": 6, "burst": 9}, If_Match=problem["current_etag"])
    ).is_success
    unknown = (await admin("PUT", "/v1/rules/r", RULE, If_Match='"7-0123456789abcdef"')).json()
    assert (unknown["current"]["burst"], unknown["based_on"]) == (9, None)
    gone = (await admin("PUT", "/v1/rules/gone", _named("gone"), If_Match='"1"')).json()
    assert (gone["current"], gone["current_etag"], gone["based_on"]) == (None, None, None)


async def _is_in_history(admin: Admin, version: int) -> bool:
    return (await admin("GET", f"/v1/rules/r/history/{version}")).status_code == 200


async def test_an_earlier_version_is_restored_as_a_new_one(admin: Admin, settings: Settings, cache: Redis) -> None:
    async with syncing(admin.rules.database, cache, settings):
        await admin("POST", "/v1/rules", RULE)
        for limit in (6, 7):
            await eventually(lambda: _is_in_history(admin, limit - 5), 20, "the history has the version")  # noqa: B023
            await admin("PATCH", "/v1/rules/r", {"limit": limit})
        await eventually(lambda: _is_in_history(admin, 3), 20, "the history has the version")
        current = await etag(admin)
        assert (await admin("POST", "/v1/rules/r/restore", {"version": 1}, If_Match='"9"')).status_code == 412
        restored = await admin("POST", "/v1/rules/r/restore", {"version": 1}, If_Match=current)
        assert (restored.status_code, restored.json()["version"], restored.json()["limit"]) == (200, 4, 5)
        await admin("DELETE", "/v1/rules/r")
        anew = await admin("POST", "/v1/rules/r/restore", {"version": 2})
        assert (anew.status_code, anew.json()["version"], anew.json()["limit"]) == (201, 5, 6)
    for body, status in [({"version": 99}, 404), ({"version": 0}, 422), ({}, 422), ({"version": 1, "x": 1}, 422)]:
        assert (await admin("POST", "/v1/rules/r/restore", body)).status_code == status
    audited = (await admin("GET", "/v1/audit?action=rule.restored")).json()["entries"]
    assert [(one["before"] or {}).get("limit") for one in audited] == [None, 7]
