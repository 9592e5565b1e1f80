"""`PUT /v1/rules`: many rules at once, all or none, and a report that is true."""

import asyncio
import time
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument

from app.commands.rule_pages import pages
from tests.support.admin_in_process import Admin
from tests.support.rules import RULE
from tests.support.waiting import eventually


def named(rule_id: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return RULE | {"rule_id": rule_id} | fields


async def outcomes(admin: Admin, body: object, path: str = "/v1/rules") -> list[tuple[str, str, int | None]]:
    answer = await admin("PUT", path, body)
    assert answer.status_code == 200, answer.text
    return [(one["rule_id"], one["outcome"], one["version"]) for one in answer.json()["outcomes"]]


async def test_it_creates_changes_leaves_and_deletes(admin: Admin) -> None:
    await outcomes(admin, {"rules": [named("same"), named("other"), named("gone")]})
    body = {
        "rules": [named("new"), named("same"), named("other", limit=6, burst=2)],
        "delete": ["gone", "never"],
    }
    expected = [
        ("new", "created", 1),
        ("same", "unchanged", 1),
        ("other", "changed", 2),
        ("gone", "deleted", None),
        ("never", "missing", None),
    ]
    before = [one async for one in admin.rules.find()]
    assert await outcomes(admin, body, "/v1/rules?dry_run=true") == expected
    assert [one async for one in admin.rules.find()] == before, "nothing is written"
    answer = (await admin("PUT", "/v1/rules", body)).json()["outcomes"]
    assert [(one["rule_id"], one["outcome"], one["version"]) for one in answer] == expected
    assert answer[2]["changes"] == [
        {"field": "limit", "from": 5, "to": 6},
        {"field": "burst", "from": None, "to": 2},
    ]
    assert sorted([one["_id"] async for one in admin.rules.find()]) == ["new", "other", "same"]
    assert await outcomes(admin, {"rules": [named("gone")]}) == [("gone", "created", 2)], "versions go on"
    assert (await admin("GET", "/v1/rules/gone")).json()["updated_by"] == "ops"


@pytest.mark.parametrize(
    ("body", "status", "named_in_it"),
    [
        ({"rules": [named("a"), named("b", limit=0)]}, 422, "rules.1: limit"),
        ({"rules": [named("a"), named("b", limitt=9)]}, 422, "rules.1: limitt"),
        ({"rules": [named("a"), named("a")]}, 422, "'a' occurs twice"),
        ({"rules": [named("a")], "delete": ["a"]}, 422, "'a' occurs twice"),
        ({"rules": [named("a")], "more": 1}, 422, "more"),
        ({"rules": [named("a"), 5]}, 422, "rules.1"),
        ({"rules": [named("a")], "delete_documents": ["nonsense"]}, 400, "nonsense"),
        ({"rules": [named(f"r{i}") for i in range(1001)]}, 422, "rules"),
        ([], 400, ""),
    ],
)
async def test_a_fault_anywhere_writes_nothing(admin: Admin, body: object, status: int, named_in_it: str) -> None:
    answer = await admin("PUT", "/v1/rules", body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert named_in_it in answer.json()["detail"]
    assert await admin.rules.count_documents({}) == 0


async def test_documents_that_are_no_rules_are_replaced_or_deleted(admin: Admin) -> None:
    await admin("PUT", "/v1/rules", {"rules": [named("5")]})
    strange = [5, 5.5, None, {"a": 1}, "No Rule", True]
    await admin.rules.insert_many([{"_id": key} for key in strange] + [{"_id": "bad"}])
    broken = bson.encode({"_id": "????"}).replace(b"????", b"\xff\xfe\xc0\x80")
    await admin.rules.insert_one(RawBSONDocument(broken))
    listed = (await admin("GET", "/v1/rules")).json()["invalid"]
    assert {"int 5", "float 5.5", "null None", "object {'a': 1}", "No Rule", "boolean True"} < {
        one["rule_id"] for one in listed
    }
    keys = [one["document_key"] for one in listed if one["rule_id"] != "bad"]
    found = await outcomes(admin, {"rules": [named("bad")], "delete_documents": keys})
    assert found[0] == ("bad", "changed", 1)
    assert {outcome for _, outcome, _ in found[1:]} == {"deleted"}
    assert [one["_id"] async for one in admin.rules.find().sort("_id")] == ["5", "bad"]


async def test_concurrent_requests_are_each_done_whole(admin: Admin) -> None:
    names = [f"r{i}" for i in range(20)]
    bodies = [{"rules": [named(name, limit=limit) for name in names]} for limit in range(1, 6)]
    answers = await asyncio.gather(*(admin("PUT", "/v1/rules", body) for body in bodies))
    assert [answer.status_code for answer in answers] == [200] * 5, [answer.text for answer in answers]
    rules = (await admin("GET", "/v1/rules")).json()["rules"]
    assert {(rule["limit"], rule["version"]) for rule in rules} == {(rules[0]["limit"], 5)}
    created = [[one["outcome"] for one in answer.json()["outcomes"]] for answer in answers]
    assert sorted(set(map(tuple, created))) == [("changed",) * 20, ("created",) * 20]


async def test_five_thousand_rules_take_five_requests(admin: Admin) -> None:
    """As `penstock rules apply` sends them."""
    rules = [named(f"r{i:04}", key_value=f"u{i}") for i in range(5000)]
    requests = list(pages(rules, []))
    assert len(requests) == 5
    start = time.monotonic()
    for expected in ("created", "unchanged"):
        for body in requests:
            found = await outcomes(admin, body)
            assert {outcome for _, outcome, _ in found} == {expected}
    print(f"5,000 rules written, and compared again, in {time.monotonic() - start:.1f} s")
    assert await admin.rules.count_documents({}) == 5000


async def test_a_request_outlives_an_election(admin: Admin) -> None:
    """A client that repeats a 503 gets its rules written, all of them once."""
    database = admin.rules.database
    step_down = {"replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 0, "force": True}
    await database.client.admin.command(step_down)
    body = {"rules": [named(f"r{i}") for i in range(100)]}

    async def written() -> bool:
        answer = await admin("PUT", "/v1/rules", body)
        assert answer.status_code in {200, 503}, answer.text
        return answer.status_code == 200

    await eventually(written, 60, "the rules are written")
    rules = (await admin("GET", "/v1/rules")).json()["rules"]
    assert [rule["version"] for rule in rules] == [1] * 100
