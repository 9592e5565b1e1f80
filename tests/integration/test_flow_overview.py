"""Flows as operators see them, through the admin API and on a real Redis."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from app.jobs.model import JobStatus, StoredResponse
from app.queue.flow_name import flow_id
from app.queue.flows import Flows
from app.queue.model import FrozenCharge, Settlement, Wait
from sync.publisher import Publisher
from tests.support.admin_in_process import Admin
from tests.support.flow_steps import REQUEST_BYTES, accepted, active, deferral, give_back, lease, take
from tests.support.rules import publish_all


@pytest.fixture
async def rules_in_force(cache: Redis) -> None:
    await publish_all(Publisher(cache), [active().rule, active(rule_id="other").rule], 1)


async def filled(flows: Flows, **depths: int) -> None:
    """So many jobs of each user; those of one are older than those of the next, by milliseconds."""
    for user, depth in depths.items():
        for number in range(depth):
            await accepted(flows, deferral(number, user=user))
        await asyncio.sleep(0.002)


async def listed(admin: Admin, query: str = "") -> dict[str, Any]:
    answer = await admin("GET", f"/v1/flows{query}", role="viewer")
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def callers(page: dict[str, Any]) -> list[str]:
    return [flow["descriptor"].removeprefix("user:") for flow in page["flows"]]


@pytest.mark.usefixtures("rules_in_force")
async def test_flows_are_sorted_by_depth_age_and_rule(admin: Admin, flows: Flows) -> None:
    await filled(flows, first=1, deep=4, last=2)
    await accepted(flows, deferral(0, active(rule_id="other"), user="first"))
    assert callers(await listed(admin)) in [["deep", "last", "first", "first"]]
    assert callers(await listed(admin, "?sort=age"))[0] == "first"
    assert [flow["rule_id"] for flow in (await listed(admin, "?sort=rule"))["flows"]] == ["other", "r", "r", "r"]
    page = await listed(admin, "?rule_id=other")
    assert (callers(page), page["total"], page["complete"], page["next"]) == (["first"], 1, True, None)
    assert sorted(flow["rule_id"] for flow in (await listed(admin, "?descriptor=user:first"))["flows"]) == [
        "other",
        "r",
    ]
    assert (await listed(admin, "?descriptor=user:fir"))["flows"] == [], "a part of a descriptor is another one"


@pytest.mark.usefixtures("rules_in_force")
async def test_a_flow_shows_where_its_jobs_are(admin: Admin, flows: Flows) -> None:
    await filled(flows, u=6)
    [flow] = await take(flows)
    first, second, third = (await lease(flows, flow, 3)).jobs
    assert await flows.retry(first, 60.0, "app_server", "It failed.", give_back=False)
    await flows.settle([Settlement(second, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b""))])
    [shown] = (await listed(admin))["flows"]
    assert (shown["depth"], shown["waiting"], shown["in_flight"], shown["backing_off"]) == (5, 3, 1, 1)
    assert (shown["id"], shown["name"], shown["caller"]) == (flow_id("r|user:u"), "r|user:u", "user:u")
    assert shown["bytes"] == 5 * REQUEST_BYTES
    assert 0 <= shown["oldest_age_seconds"] < 60
    assert shown["state"] == "draining"
    assert (shown["permitted_per_second"], shown["permitted_by"]) == (10.0, "r")
    assert shown["eta_seconds"] is not None
    found = await admin("GET", f"/v1/flows/{shown['id']}", role="viewer")
    assert found.json()["waiting"] == 3
    await flows.release([third])


@pytest.mark.usefixtures("rules_in_force")
async def test_a_flow_says_what_it_waits_for(admin: Admin, flows: Flows) -> None:
    address = FrozenCharge("other", "ip:192.0.2.1", 1)
    await accepted(flows, deferral(0, user="u", charges=(FrozenCharge("r", "user:u", 1), address)))
    [flow] = await take(flows)
    await flows.give_back(flow, Wait(60_000_000, "other|ip:192.0.2.1", 1000))
    [shown] = (await listed(admin, "?descriptor=ip:192.0.2.1"))["flows"]
    assert (shown["state"], shown["waits_for"]) == ("waiting_for_rule", "other")
    assert 55 < shown["eta_seconds"] <= 60

    await accepted(flows, deferral(0, user="v"))
    [flow] = await take(flows)
    await flows.give_back(flow, Wait(60_000_000, "r|user:v", 0, for_place=True))
    [shown] = (await listed(admin, "?descriptor=user:v"))["flows"]
    assert (shown["state"], shown["waits_for"]) == ("waiting_for_place", "r")

    await accepted(flows, deferral(0, user="w"))
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    assert await flows.hold(job, 30.0, 60.0, 0.0, "app_server", "It is busy.")
    [shown] = (await listed(admin, "?descriptor=user:w"))["flows"]
    assert (shown["state"], shown["held_until"] is not None) == ("held", True)

    await accepted(flows, deferral(0, user="x"))
    [flow] = await take(flows)
    await flows.park(flow.name, flow.token, 1)
    [shown] = (await listed(admin, "?descriptor=user:x"))["flows"]
    assert (shown["state"], shown["paused_by"], shown["eta_seconds"]) == ("paused", "rule", None)

    assert callers(await listed(admin, "?state=held")) == ["w"]
    assert callers(await listed(admin, "?state=paused")) == ["x"]
    [of_v] = (await listed(admin, "?descriptor=user:v"))["flows"]
    assert (await admin("POST", f"/v1/flows/{of_v['id']}/pause", role="operator")).status_code == 200
    [of_v] = (await listed(admin, "?descriptor=user:v"))["flows"]
    assert (of_v["state"], of_v["paused_by"]) == ("paused", "flow")
    assert sorted(callers(await listed(admin, "?state=paused"))) == ["v", "x"], "a worker need not have seen v yet"
    status = (await admin("GET", "/v1/status", role="viewer")).json()["flows"]
    assert (status["held"], status["paused"]) == (1, 1)
    assert status["total"] == (await listed(admin))["total"]


@pytest.mark.usefixtures("rules_in_force")
async def test_pages_neither_repeat_nor_leave_out_a_flow_while_flows_change(admin: Admin, flows: Flows) -> None:
    users = {f"u{number}": 1 + number % 3 for number in range(12)}
    await filled(flows, **users)
    page = await listed(admin, "?limit=5")
    seen = callers(page)
    await filled(flows, u0=9, new=20)  # one moves to the front, and one comes
    while page["next"] is not None:
        page = await listed(admin, f"?limit=5&after={page['next']}")
        seen += callers(page)
    assert sorted(seen) == sorted(users)
    assert callers(await listed(admin, "?limit=1")) == ["new"]


@pytest.mark.usefixtures("rules_in_force")
async def test_a_cursor_of_another_process_goes_on_at_the_same_depth(admin: Admin, flows: Flows) -> None:
    await filled(flows, a=4, b=3, c=2, d=1)
    page = await listed(admin, "?limit=2")
    _, place, depth = page["next"].split("_")
    assert callers(await listed(admin, f"?limit=2&after=1.000-1_{place}_{depth}")) == ["c", "d"]


async def test_a_flow_that_has_ended_is_not_listed(admin: Admin, flows: Flows) -> None:
    await filled(flows, u=1)
    assert callers(await listed(admin)) == ["u"]
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b""))])
    assert (await listed(admin))["flows"] == []
    assert (await admin("GET", f"/v1/flows/{flow_id('r|user:u')}")).status_code == 404


@pytest.mark.parametrize("text", ["x", "%20", "cg", "cnxh%0A", "A" * 5000, "ZXZpbA==", flow_id("r|user:u") + "A"])
async def test_what_is_no_id_of_a_flow_is_not_found(admin: Admin, text: str) -> None:
    for method, path in (("GET", f"/v1/flows/{text}"), ("POST", f"/v1/flows/{text}/purge")):
        assert (await admin(method, path)).status_code == 404


async def test_one_flow_is_purged_and_no_other(admin: Admin, flows: Flows, queue: Redis) -> None:
    await filled(flows, u=4, other=2)
    [mine] = [flow for flow in await take(flows) if flow.name == "r|user:u"]
    leased, backing_off = (await lease(flows, mine, 2)).jobs
    assert await flows.retry(backing_off, 60.0, "app_server", "It failed.", give_back=False)
    path = f"/v1/flows/{flow_id('r|user:u')}/purge"
    assert (await admin("POST", path, role="viewer")).status_code == 403
    assert (await admin("POST", path, role="operator")).json() == {"canceled": 3, "next": None}
    [shown] = [flow for flow in (await listed(admin))["flows"] if flow["descriptor"] == "user:u"]
    assert (shown["depth"], shown["in_flight"], shown["backing_off"]) == (1, 1, 0), "what is being sent goes on"
    [other] = (await listed(admin, "?descriptor=user:other"))["flows"]
    assert other["depth"] == 2
    assert await queue.zcard("{q0}:retry") == 0
    await flows.release([leased])


async def test_jobs_that_return_from_backoff_are_counted_as_waiting_again(admin: Admin, flows: Flows) -> None:
    await filled(flows, u=1)
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    assert await flows.retry(job, 0.0, "app_server", "It failed.", give_back=False)
    await give_back(flows, flow)
    await take(flows)
    [shown] = (await listed(admin))["flows"]
    assert (shown["waiting"], shown["backing_off"], shown["in_flight"]) == (1, 0, 0)
