"""`GET /v1/rules` has pages: each rule is on one of them, in order, and so is each document that is not a rule."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from bson import ObjectId

from tests.support.admin_in_process import Admin

STRANGE_IDS: list[Any] = [5, 2.5, None, True, ObjectId(), datetime(2026, 1, 1, tzinfo=UTC), {"a": "z"}, b"bytes"]


def document(rule_id: Any) -> dict[str, Any]:  # noqa: ANN401 - any value of BSON
    return {"_id": rule_id, "key_type": "user", "key_value": str(rule_id)[:20], "limit": 5, "window_seconds": 60}


async def pages(admin: Admin, limit: int) -> list[dict[str, Any]]:
    found, after = [], ""
    while True:
        answer = await admin("GET", f"/v1/rules?limit={limit}&after={quote(after)}", role="viewer")
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        if found[-1]["next"] is None:
            return found
        after = found[-1]["next"]


@pytest.mark.parametrize("limit", [1, 7, 50, 1000])
async def test_each_rule_and_each_invalid_document_is_on_one_page(admin: Admin, limit: int) -> None:
    names = sorted([f"rule-{number:03}" for number in range(40)] + ["a", "z"])
    invalid = ["No Rule", "é", "rule-020 ", "x" * 5000, "\U0010ffff"]
    await admin.rules.insert_many([document(name) for name in [*names, *invalid]])
    found = await pages(admin, limit)
    assert [rule["rule_id"] for page in found for rule in page["rules"]] == names
    assert sum(len(page["invalid"]) for page in found) == len(invalid)
    assert all(len(page["rules"]) + len(page["invalid"]) <= limit for page in found)
    if limit > 1:
        assert len(found) == -(-(len(names) + len(invalid)) // limit)


async def test_documents_whose_ids_are_no_text_are_on_the_last_page(admin: Admin) -> None:
    await admin.rules.insert_many([document(one) for one in [*STRANGE_IDS, "a", "b", "c"]])
    first, second = await pages(admin, 2)
    assert ([rule["rule_id"] for rule in first["rules"]], first["invalid"]) == (["a", "b"], [])
    assert [rule["rule_id"] for rule in second["rules"]] == ["c"]
    assert len(second["invalid"]) == 2, "of these only as many as a page has"
    [whole] = await pages(admin, 1000)
    assert len(whole["invalid"]) == len(STRANGE_IDS)


async def test_a_rule_that_goes_or_comes_meanwhile_repeats_none_and_leaves_none_out(admin: Admin) -> None:
    await admin.rules.insert_many([document(f"r{number}") for number in range(6)])
    first = (await admin("GET", "/v1/rules?limit=3")).json()
    await admin.rules.delete_one({"_id": first["next"]})
    await admin.rules.insert_one(document("a-new-one"))
    second = (await admin("GET", f"/v1/rules?limit=3&after={first['next']}")).json()
    assert [rule["rule_id"] for page in (first, second) for rule in page["rules"]] == [f"r{n}" for n in range(6)]


MANY = [
    document("a") | {"priority": 5, "updated_at": datetime(2026, 1, 3, tzinfo=UTC)},
    document("b") | {"priority": -7, "key_type": "claim:tier", "key_value": "Gold"},
    document("c") | {"updated_at": datetime(2026, 1, 2, tzinfo=UTC), "updated_by": "olga"},
    document("d") | {"priority": 5, "match": {"path_prefix": "/api/v1"}},
    document("e") | {"priority": 2**40},
    document("f") | {"priority": "high"},
    document("g") | {"priority": float("nan"), "key_type": ["user", "ip"], "key_value": ["acme", "*"]},
]


async def ids(admin: Admin, query: str, limit: int) -> list[str]:
    found, after = [], ""
    while after is not None:
        answer = await admin("GET", f"/v1/rules?limit={limit}&after={quote(after)}&{query}", role="viewer")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += sorted(one["rule_id"] for one in page["invalid"]) + [one["rule_id"] for one in page["rules"]]
        assert len(page["rules"]) + len(page["invalid"]) <= limit
        after = page["next"]
    return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sort=id", "abcdefg"),
        ("sort=-id", "gfedcba"),
        ("sort=priority", "bcfgade"),
        ("sort=-priority", "eadcfgb"),
        ("sort=updated_at", "bdefgca"),
        ("sort=-updated_at", "acbdefg"),
        ("search=OLGA", "c"),
        ("search=gold", "b"),
        ("search=api/v1", "d"),
        ("search=claim", "b"),
        ("search=.*", ""),
        ("search=acme", "g"),
        ("search=a&sort=priority", "bcgad"),
        ("key_type=claim:tier", "b"),
        ("key_type=ip&sort=-id", "g"),
        ("key_value=acme", "g"),
        ("key_value=a", "a"),
        ("key_type=user&key_value=c&search=o", "c"),
    ],
)
async def test_rules_are_searched_and_sorted_by_the_server(admin: Admin, query: str, expected: str) -> None:
    """What is no number counts as 0, which is the default of a priority."""
    await admin.rules.insert_many(MANY)
    for limit in (1, 2, 1000):
        found = await ids(admin, query, limit)
        assert sorted(found) == sorted(expected)
        if limit == 1:  # invalid documents stand in their places, too
            assert "".join(found) == expected


async def test_a_page_of_many_rules_reads_no_more_documents_than_it_has(admin: Admin) -> None:
    database = admin.rules.database
    await admin.rules.insert_many([document(f"r{number:04}") for number in range(3000)])
    await database.command("profile", 2)
    await admin("GET", "/v1/rules?limit=10&after=r1000")
    await admin("GET", "/v1/rules?limit=10&sort=-id&after=r1000")
    await database.command("profile", 0)
    reads = [one async for one in database["system.profile"].find({"ns": f"{database.name}.rules"})]
    assert reads and all(one["docsExamined"] <= 11 for one in reads), [one["docsExamined"] for one in reads]


async def test_a_cursor_of_another_order_is_refused(admin: Admin) -> None:
    for cursor in ("r", "x:r", f"{2**63}:r", ":r"):
        answer = await admin("GET", f"/v1/rules?sort=priority&after={cursor}")
        assert (answer.status_code, answer.json()["detail"]) == (
            400,
            "after: must be the `next` of a page in the same order.",
        )


OUT_OF_BOUNDS = ["limit=0", "limit=1001", "limit=x", "after=" + "x" * 1025]
NOT_SEARCHABLE = ["sort=limit", "search=" + "x" * 257, "search=a%00b"]


@pytest.mark.parametrize("query", [*OUT_OF_BOUNDS, *NOT_SEARCHABLE])
async def test_parameters_out_of_bounds_are_refused(admin: Admin, query: str) -> None:
    assert (await admin("GET", f"/v1/rules?{query}")).status_code == 422
