"""Operators find dead letters by rule, descriptor, code, status and time, in pages that others do not disturb; and what
they do to them by HTTP."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from redis.asyncio import Redis

import app.queue.dead_letters as dead_letters_module
from app.queue.dead_letter_batches import DeadLetterBatches
from app.queue.dead_letter_filter import DeadLetterFilter
from app.queue.flows import Flows
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from sync.publisher import Publisher
from tests.support.admin_in_process import Admin
from tests.support.dead_letters import dead, many_dead
from tests.support.flow_steps import active
from tests.support.rules import publish_all

PATH = "/v1/dead-letters"
Listed = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def listed(admin: Admin) -> Listed:
    async def ids_of_all_pages(limit: int = 100, **wanted: Any) -> list[str]:  # noqa: ANN401
        found, after = list[str](), ""
        while after is not None:
            answer = await admin("GET", f"{PATH}?{urlencode(wanted | {'limit': limit, 'after': after})}", role="viewer")
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += [letter["id"] for letter in page["dead_letters"]]
            after = page["next"]
        return found

    return ids_of_all_pages


async def failed_at(admin: Admin, job_id: str) -> str:
    found: str = (await admin("GET", f"{PATH}/{job_id}")).json()["failed_at"]
    return found


async def test_each_condition_of_a_filter_counts(admin: Admin, flows: Flows, listed: Listed) -> None:
    other = active(rule_id="other")
    first = await dead(flows, 1, status=500)
    second = await dead(flows, 2, status=503)
    third = await dead(flows, 2, code="expired", status=None)
    fourth = await dead(flows, 2, status=503, rule=other)
    newest_first = [fourth, third, second, first]
    assert await listed() == newest_first
    assert await listed(rule_id="other") == [fourth]
    assert await listed(rule_id="oth") == []
    assert await listed(descriptor="user:u2") == [fourth, third, second]
    assert await listed(descriptor="user:u") == []
    assert await listed(code="expired") == [third]
    assert await listed(response_status=503) == [fourth, second]
    assert await listed(rule_id="r", descriptor="user:u2", response_status=503) == [second]
    at = [await failed_at(admin, job_id) for job_id in newest_first]
    assert await listed(failed_after="2020-01-01T00:00:00Z", failed_before="2100-01-01T00:00:00+14:00") == newest_first
    assert await listed(failed_before="2020-01-01T00:00:00Z") == []
    assert await listed(failed_after="2100-01-01T00:00:00Z") == []
    if len(set(at)) == len(at):  # times are shown in milliseconds
        assert await listed(failed_after=at[1]) == [fourth, third]
        assert await listed(failed_before=at[1]) == [second, first]
        assert await listed(failed_after=at[2], failed_before=at[1]) == [second]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rule_id", "R!"),
        ("descriptor", ""),
        ("descriptor", "x" * 2049),
        ("code", "upstream_error"),
        ("response_status", "99"),
        ("response_status", "5xx"),
        ("failed_after", "yesterday"),
        ("failed_after", "2026-01-01"),
        ("failed_before", "2026-01-01T00:00:00"),
        ("failed_before", "2026-13-01T00:00:00Z"),
        ("failed_before", "1700000000"),
        ("after", "x"),
        ("after", "0-1"),
        ("after", "0-1-0-short"),
    ],
)
async def test_what_is_no_condition_is_refused_and_named(admin: Admin, name: str, value: str) -> None:
    answer = await admin("GET", f"{PATH}?{urlencode({name: value})}")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"query.{name}")


async def test_a_page_goes_on_where_the_one_before_ended_whatever_became_of_its_last(
    admin: Admin, flows: Flows, queue: Redis
) -> None:
    """The last of the page is deleted; one that failed later comes; and all may share a time of failure."""
    letters = [await dead(flows, number) for number in range(6)]
    for same_time in (False, True):
        if same_time:
            await queue.zadd("{q0}:dead", dict.fromkeys(letters, 1_700_000_000_000_000))
        expected = [letter["id"] for letter in (await admin("GET", PATH)).json()["dead_letters"]]
        page = (await admin("GET", f"{PATH}?limit=2")).json()
        assert [letter["id"] for letter in page["dead_letters"]] == expected[:2]
        await admin("DELETE", f"{PATH}/{expected[1]}")
        letters.remove(expected[1])
        letters.append(await dead(flows, 9))
        rest = (await admin("GET", f"{PATH}?after={page['next']}")).json()
        assert [letter["id"] for letter in rest["dead_letters"]] == expected[2:]
        assert rest["next"] is None


async def test_pages_of_a_filter_look_at_a_bounded_number(
    flows: Flows, listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters_module, "MAX_LIST_CALLS", 2)
    monkeypatch.setattr(dead_letters_module, "LIST_SCAN_LIMIT", 3)
    found = await many_dead(flows, rules=["r", "other"], each=10)
    assert await listed(limit=4, rule_id="r", code="attempts_exhausted") == found["r"][::-1]
    assert await listed(limit=4, rule_id="r", response_status=404) == []


@pytest.fixture
def batches(queueing: Scripts, settings: Settings) -> DeadLetterBatches:
    return DeadLetterBatches(queueing, settings)


async def test_a_count_says_whether_it_has_looked_at_all(flows: Flows, batches: DeadLetterBatches) -> None:
    await many_dead(flows, rules=["r", "other"], each=40)
    mine, all_of_them = DeadLetterFilter(rule_id="r"), DeadLetterFilter()
    exact = await batches.count(mine)
    assert (exact.found, exact.candidates, exact.looked_at, exact.is_exact, exact.estimate) == (40, 80, 80, True, 40)
    bounded = await batches.count(mine, 20)
    assert (bounded.found, bounded.looked_at, bounded.is_exact, bounded.estimate) == (10, 20, False, 40)
    assert (await batches.count(all_of_them, 0)).candidates == 80
    nothing = await batches.count(DeadLetterFilter(code="expired"))
    assert (nothing.found, nothing.is_exact) == (0, True)


async def test_operations_are_started_followed_and_canceled_over_http(admin: Admin, flows: Flows) -> None:
    await many_dead(flows, rules=["r"], each=3)
    body = {"kind": "delete_dead_letters", "filter": {"rule_id": "r", "failed_before": "2100-01-01T00:00:00Z"}}
    counted = await admin("POST", "/v1/operations", body | {"dry_run": True}, "operator")
    assert counted.status_code == 200
    assert counted.json() == body | {"dry_run": True, "total": {"at_least": 3, "estimate": 3, "is_exact": True}}
    started = await admin("POST", "/v1/operations", body | {"rate_per_s": 7}, "operator")
    operation = started.json()
    assert (started.status_code, started.headers["Location"]) == (202, f"/v1/operations/{operation['id']}")
    assert (operation["state"], operation["rate_per_s"], operation["filter"]) == ("pending", 7, body["filter"])
    assert (await admin("GET", started.headers["Location"], role="viewer")).json() == operation
    assert (await admin("GET", "/v1/operations")).json() == {"operations": [operation], "next": None}
    assert (await admin("POST", "/v1/operations", body)).status_code == 409
    canceled = await admin("DELETE", started.headers["Location"], role="operator")
    assert (canceled.status_code, canceled.json()["state"]) == (202, "canceling")
    assert (await admin("GET", f"/v1/operations/{'0' * 24}")).status_code == 404
    assert (await admin("DELETE", "/v1/operations/nonsense")).status_code == 422


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"kind": "delete_dead_letters"},
        {"kind": "delete_jobs", "filter": {}},
        {"kind": "delete_dead_letters", "filter": {"rule": "r"}},
        {"kind": "delete_dead_letters", "filter": {"rule_id": "R!"}},
        {"kind": "delete_dead_letters", "filter": {"response_status": "500"}},
        {"kind": "delete_dead_letters", "filter": {"failed_after": 1_700_000_000}},
        {"kind": "delete_dead_letters", "filter": {}, "rate_per_s": 0},
        {"kind": "delete_dead_letters", "filter": {}, "rate_per_s": 5001},
        {"kind": "delete_dead_letters", "filter": {}, "dry_run": "yes"},
        {"kind": "delete_dead_letters", "filter": {}, "dryrun": True},
    ],
)
async def test_what_is_no_operation_is_refused(admin: Admin, wrong: dict[str, Any]) -> None:
    assert (await admin("POST", "/v1/operations", wrong)).status_code == 422
    assert (await admin("GET", "/v1/operations")).json()["operations"] == []


async def test_the_audit_says_who_did_what_to_dead_letters(admin: Admin, flows: Flows, cache: Redis) -> None:
    await publish_all(Publisher(cache), [active().rule], 1)
    first, second, third = [await dead(flows, number) for number in range(3)]
    await admin("POST", f"{PATH}/{first}/replay")
    await admin("POST", f"{PATH}/replay", {"ids": [second, "nonsense"]})
    await admin("DELETE", f"{PATH}/{third}")
    await admin("DELETE", f"{PATH}/{third}")
    entries = (await admin("GET", "/v1/audit?action=dead_letter")).json()["entries"]
    assert [(entry["action"], entry["target"]) for entry in entries] == [
        ("dead_letter.deleted", third),
        ("dead_letter.replayed", second),
        ("dead_letter.replayed", first),
    ]
