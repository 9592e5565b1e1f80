"""Rules in every order: each document in its place, whatever its fields hold; no page costs more with many rules."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

import pytest
from bson import DatetimeMS, Decimal128, MinKey, Timestamp

from app.rules.listing import Order, RuleListing, RuleQuery
from app.rules.store import RuleStore
from tests.support.admin_in_process import Admin

NUMBERS = [0, -0.0, 5, 5.0, -7, 2.5, -0.5, 2**62, -(2**62), float("inf"), float("-inf"), Decimal128("2.5"),
           Decimal128("-1E+40"), Decimal128("0.1"), 0.1, Decimal128("Infinity")]  # fmt: skip
NO_NUMBERS = ["high", None, float("nan"), Decimal128("NaN"), True, {"a": 1}, [], [5, -3], ["a"], [None], b"x",
              Timestamp(1, 1), MinKey(), datetime(2026, 1, 1, tzinfo=UTC)]  # fmt: skip
OLD, NEW = datetime(1965, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
TIMES = {OLD: -1, NEW: 1, DatetimeMS(-(2**62)): -2, DatetimeMS(2**62): 2, DatetimeMS(0): 0}
NO_TIMES = [5, -5, "yesterday", None, [OLD], [], Timestamp(1, 1)]


def document(number: int, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any value of BSON
    key = {"key_type": "user", "key_value": f"customer-{number}"}
    return {"_id": f"r{number:05}", **key, "limit": 5, "window_seconds": 60, **fields}


async def insert(admin: Admin, documents: list[dict[str, Any]]) -> None:
    """As a client that wrote before there was a validator."""
    await RuleStore(admin.rules.database).setup()
    await admin.rules.insert_many(documents, bypass_document_validation=True)


async def pages(admin: Admin, query: RuleQuery) -> list[list[str]]:
    """The ids of each page, in the order of the alphabet: rules and what is none stand apart."""
    listing, found = RuleListing(admin.rules.database), []
    while True:
        page = await listing.page(query)
        found.append(sorted([*(rule.rule_id for rule in page.rules), *(one.key.name for one in page.invalid)]))
        assert len(found[-1]) <= query.limit
        if page.next is None:
            return found
        query = replace(query, after=page.next)


def in_pages(ids: list[str], limit: int) -> list[list[str]]:
    return [sorted(ids[first : first + limit]) for first in range(0, len(ids), limit)]


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
async def test_whatever_a_priority_is_each_document_has_its_place(admin: Admin, limit: int) -> None:
    values = [*NUMBERS, *NO_NUMBERS, *NUMBERS]
    documents = [document(number, priority=value) for number, value in enumerate(values)]
    await insert(admin, [*documents, document(99)])
    numbers = [value.to_decimal() if isinstance(value, Decimal128) else value for value in NUMBERS]
    by_id = dict(zip((one["_id"] for one in documents), [*numbers, *(0 for _ in NO_NUMBERS), *numbers], strict=True))
    by_id["r00099"] = Decimal(0)
    ascending = sorted(by_id, key=lambda one: (by_id[one], one))
    assert await pages(admin, RuleQuery(order="priority", limit=limit)) == in_pages(ascending, limit)
    descending = sorted(by_id, key=lambda one: (-by_id[one], one))
    assert await pages(admin, RuleQuery(order="-priority", limit=limit)) == in_pages(descending, limit)


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_whatever_the_time_of_a_change_is_each_document_has_its_place(admin: Admin, limit: int) -> None:
    documents = [document(number, updated_at=value) for number, value in enumerate([*TIMES, *NO_TIMES])]
    await insert(admin, [*documents, document(99)])
    values = [*TIMES.values(), *(0 for _ in NO_TIMES), 0]
    by_id = dict(zip([*(one["_id"] for one in documents), "r00099"], values, strict=True))
    ascending = sorted(by_id, key=lambda one: (by_id[one], one))
    assert await pages(admin, RuleQuery(order="updated_at", limit=limit)) == in_pages(ascending, limit)
    descending = sorted(by_id, key=lambda one: (-by_id[one], one))
    assert await pages(admin, RuleQuery(order="-updated_at", limit=limit)) == in_pages(descending, limit)


def many(count: int) -> list[dict[str, Any]]:
    """Half of them have a priority, and a third the time of a change; none of both is unique."""
    return [
        document(
            number,
            **({"priority": number % 40 - 20} if number % 2 else {}),
            **({"updated_at": datetime(2026, 1, 1 + number % 28, tzinfo=UTC)} if number % 3 else {}),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("order", get_args(Order))
@pytest.mark.parametrize("filtered", [{"search": "7"}, {"key_type": "user"}, {"key_type": "user", "search": "9"}])
async def test_a_search_that_looks_at_few_documents_a_page_finds_each_once_and_in_order(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, order: Order, filtered: dict[str, str]
) -> None:
    await insert(admin, many(150))
    query = RuleQuery(filtered.get("search"), filtered.get("key_type"), order=order, limit=1000)
    whole = await RuleListing(admin.rules.database).page(query)
    expected = [rule.rule_id for rule in whole.rules]
    assert whole.next is None
    assert len(expected) == sum(filtered.get("search", "") in one["_id"] for one in many(150))
    monkeypatch.setattr("app.rules.listing.MAX_LOOKED_AT", 16)
    for limit in (3, 1000):
        found, following = [], replace(query, limit=limit)
        while True:
            page = await RuleListing(admin.rules.database).page(following)
            assert len(page.rules) <= limit
            found += [rule.rule_id for rule in page.rules]
            if page.next is None:
                break
            following = replace(following, after=page.next)
        assert found == expected


async def test_no_page_looks_at_more_with_many_rules(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every order, from every place, and in a search: by MongoDB's own account of what it has looked at."""
    monkeypatch.setattr("app.rules.listing.MAX_LOOKED_AT", 100)
    database = admin.rules.database
    await insert(admin, many(4000))
    listing = RuleListing(database)
    places = {"id": "r02000", "priority": "5:r02000", "updated_at": "1767500000000:r02000"}
    zeros = {"id": "", "priority": "0:r02000", "updated_at": "0:r02000"}
    await database.command("profile", 2)
    for order in get_args(Order):
        field = order.lstrip("-")
        for after in ("", places[field], zeros[field]):
            await listing.page(RuleQuery(order=order, limit=10, after=after))
            await listing.page(RuleQuery(order=order, limit=10, after=after, search="nobody"))
            await listing.page(RuleQuery(order=order, limit=10, after=after, key_type="user", search="customer-3999"))
    await listing.page(RuleQuery(key_value="customer-7", order="-priority"))
    await database.command("profile", 0)
    reads = [one async for one in database["system.profile"].find({"ns": f"{database.name}.rules"})]
    assert len(reads) > 100
    assert max(one["docsExamined"] for one in reads) <= 2 * 101, "half of those with an id have no priority"
    assert not any(one.get("hasSortStage") and one["docsExamined"] > 1 for one in reads)
    assert max(one["keysExamined"] for one in reads) <= 4 * 101
