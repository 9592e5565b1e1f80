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


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=" + "x" * 1025])
async def test_parameters_out_of_bounds_are_refused(admin: Admin, query: str) -> None:
    assert (await admin("GET", f"/v1/rules?{query}")).status_code == 422
