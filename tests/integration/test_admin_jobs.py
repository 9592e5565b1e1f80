"""`/v1/jobs`: operators find a job, see its timeline and why it waits, and cancel it."""

import base64
from typing import Any

import pytest
from redis.asyncio import Redis

from app.jobs.model import JobStatus, StoredRequest, StoredResponse, owner_of
from app.queue.flow_name import flow_id
from app.queue.flows import Flows
from app.queue.model import Deferral, FrozenCharge, LeasedJob, Settlement, TakenFlow, Wait
from tests.support.admin_in_process import Admin
from tests.support.flow_steps import accepted, active, deferral, give_back, lease, take

JOBS, FLOW = "/v1/jobs", flow_id("r|user:u")


async def found(admin: Admin, query: str = "", role: str = "viewer") -> list[dict[str, Any]]:
    """The jobs of all pages."""
    jobs: list[dict[str, Any]] = []
    after = ""
    while True:
        answer = await admin("GET", f"{JOBS}?{query}{after}", role=role)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        jobs += page["jobs"]
        if page["next"] is None:
            return jobs
        after = f"&after={page['next']}"


async def shown(admin: Admin, job_id: str, role: str = "viewer") -> dict[str, Any]:
    answer = await admin("GET", f"{JOBS}/{job_id}", role=role)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def leased(flows: Flows) -> tuple[TakenFlow, LeasedJob]:
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    return flow, job


async def test_jobs_are_searched_by_all_criteria(admin: Admin, flows: Flows) -> None:
    owner = owner_of("test", "alice")
    mine = [await accepted(flows, deferral(number, owner=owner)) for number in range(3)]
    _, job = await leased(flows)
    await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(404, [], b""), took_ms=5)])
    other = await accepted(flows, deferral(3, rule=active(rule_id="s"), user="v", owner=owner_of("elsewhere", "alice")))
    everything = {*mine, other}
    for query, expected in {
        "": everything,
        "rule_id=r": set(mine),
        "descriptor=user:v": {other},
        f"flow={FLOW}": set(mine),
        f"owner={owner}": set(mine),
        "subject=alice": set(mine),
        "subject=alice&issuer=elsewhere": {other},
        "status=queued": everything - {mine[0]},
        "status=succeeded&status=failed": {mine[0]},
        "response_status=404": {mine[0]},
        "submitted_after=2020-01-01T00:00:00Z": everything,
        "submitted_before=2020-01-01T00:00:00Z": set(),
        "finished_after=2020-01-01T00:00:00Z": {mine[0]},
        "rule_id=s&status=succeeded": set(),
        "limit=1": everything,
    }.items():
        assert {job["id"] for job in await found(admin, query)} == expected, query
    [ended] = await found(admin, "response_status=404")
    assert (ended["status"], ended["rule_id"], ended["descriptor"], ended["owner"]) == (
        "succeeded", "r", "user:u", owner,
    )  # fmt: skip
    waiting = await found(admin, f"flow={FLOW}&status=queued")
    assert [(job["id"], job["position"], job["waiting_for"]) for job in waiting] == [
        (mine[1], 1, "r"),
        (mine[2], 2, "r"),
    ]


@pytest.mark.parametrize(
    "query",
    ["status=gone", "limit=0", "limit=501", "after=x", "after=AAAA", "owner=x", "rule_id=A!", "response_status=99",
     "submitted_after=today", "unknown=1", "descriptor=", "flow=", "flow=!", "flow=AAAA"],
)  # fmt: skip
async def test_a_bad_search_is_a_clear_error(admin: Admin, query: str) -> None:
    answer = await admin("GET", f"{JOBS}?{query}", role="viewer")
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_timeline_has_every_step(admin: Admin, flows: Flows) -> None:
    job_id = await accepted(flows, deferral(7))
    assert [event["event"] for event in (await shown(admin, job_id))["timeline"]] == ["accepted"]
    flow, job = await leased(flows)
    running = await shown(admin, job_id)
    assert (running["status"], running["wait"]["reason"]) == ("running", "in_flight")
    assert [(event["event"], event["worker"], event["ended_at"]) for event in running["timeline"]] == [
        ("accepted", None, None),
        ("attempt", "c", None),
    ]
    await flows.retry(
        job, 3600, "upstream_error", "The app server answered 500.", give_back=False, took_ms=4, answer=500
    )
    waiting = await shown(admin, job_id)
    assert waiting["wait"]["reason"] == "backing_off"
    assert "attempt 1 failed with upstream_error (the app server answered 500)" in waiting["wait"]["detail"]
    assert waiting["wait"]["until"] > waiting["timeline"][1]["ended_at"]
    await give_back(flows, flow)
    assert (await admin("DELETE", f"{JOBS}/{job_id}", role="operator")).status_code == 204
    ended = await shown(admin, job_id)
    assert [event["event"] for event in ended["timeline"]] == ["accepted", "attempt", "canceled"]
    attempt = ended["timeline"][1]
    assert (attempt["number"], attempt["duration_ms"], attempt["response_status"], attempt["error_code"]) == (
        1, 4, 500, "upstream_error",
    )  # fmt: skip
    assert (ended["wait"], ended["flow_state"], ended["earlier_attempts"]) == (None, None, 0)
    assert ended["expires_at"] is not None


async def test_why_a_job_waits(admin: Admin, flows: Flows, queue: Redis) -> None:
    first, second = [await accepted(flows, deferral(number, due_in_us=600_000_000)) for number in range(2)]
    rate = await shown(admin, second)
    assert (rate["wait"]["reason"], rate["position"], rate["waiting_for"]) == ("rate", 2, "r")
    in_words = "It waits for the rate that the rule r permits. One job of its flow is ahead of it."
    assert rate["wait"]["detail"] == in_words
    assert rate["flow_state"] == {"name": "r|user:u", "depth": 2, "bytes": rate["flow_state"]["bytes"], "paused": False}
    now_us = int((await queue.time())[0]) * 1_000_000
    await queue.zadd("{q0}:due:0", {"r|user:u": now_us - 60_000_000})
    overdue = (await shown(admin, first))["wait"]
    assert overdue["reason"] == "overdue"
    assert overdue["detail"].startswith("No worker has taken its flow for 6")
    flow, job = await leased(flows)
    await flows.hold(
        job, 60.0, 60.0, 0.0, "upstream_unavailable", "The app server answered 503.", took_ms=1, answer=503
    )
    held = (await shown(admin, second))["wait"]
    assert (held["reason"], held["until"] is not None) == ("held", True)
    assert "upstream_unavailable" in held["detail"]
    await queue.hdel("{q0}:flow:r|user:u", "hold_until")
    await queue.zadd("{q0}:due:0", {"r|user:u": 1})
    [flow] = await take(flows)
    await flows.park(flow.name, flow.token, 1)
    paused = (await shown(admin, second))["wait"]
    assert (paused["reason"], paused["detail"]) == ("paused", "The rule r is paused.")
    assert flow.name == "r|user:u"


async def test_flows_that_take_turns_say_so(admin: Admin, flows: Flows) -> None:
    jobs = []
    for user in ("a", "b"):
        charges = (FrozenCharge("r", f"user:{user}", 1), FrozenCharge("s", "ip:192.0.2.1", 1))
        jobs.append(await accepted(flows, deferral(0, user=user, charges=charges)))
    for flow in await take(flows):
        await flows.give_back(flow, Wait(60_000_000, "s|ip:192.0.2.1", 1_000_000))
    wait = (await shown(admin, jobs[0]))["wait"]
    assert wait["reason"] == "taking_turns"
    assert "takes turns with one other flow that waits for the counter s|ip:192.0.2.1." in wait["detail"]


async def test_only_operators_see_contents_and_nobody_credentials(admin: Admin, flows: Flows) -> None:
    headers = [(b"content-type", b"text/plain"), (b"authorization", b"Bearer secret"), (b"x-a", b"1")]
    request = StoredRequest("POST", b"/x?secret-query", headers, b"a body")
    charges = (FrozenCharge("r", "user:u", 1),)
    job_id = await accepted(flows, Deferral(active(), charges, "own", request))
    viewed = await admin("GET", f"{JOBS}/{job_id}", role="viewer")
    assert viewed.json()["contents"] is None
    assert "secret" not in viewed.text
    waiting = (await shown(admin, job_id, "operator"))["contents"]
    assert base64.b64decode(waiting["request"]["body"]) == b"a body"
    assert waiting["request"]["headers"] == [["content-type", "text/plain"], ["x-a", "1"]]
    assert waiting["response"] is None
    assert (await shown(admin, f"{job_id}?contents=false", "operator"))["contents"] is None, "who follows a job"
    _, job = await leased(flows)
    answer = StoredResponse(200, [(b"set-cookie", b"secret"), (b"x-b", b"2")], b"the answer")
    await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=answer, took_ms=1)])
    ended = await admin("GET", f"{JOBS}/{job_id}", role="admin")
    assert ended.json()["contents"]["request"] is None, "only a dead letter keeps its request"
    assert ended.json()["contents"]["response"]["headers"] == [["x-b", "2"]]
    assert base64.b64decode(ended.json()["contents"]["response"]["body"]) == b"the answer"
    assert "secret" not in ended.text
    assert (await shown(admin, job_id))["contents"] is None


async def test_a_cancellation_is_audited_once(admin: Admin, flows: Flows) -> None:
    job_id = await accepted(flows, deferral(0))
    assert (await admin("DELETE", f"{JOBS}/{job_id}", role="viewer")).status_code == 403
    for _ in range(2):
        assert (await admin("DELETE", f"{JOBS}/{job_id}", role="operator")).status_code == 204
    entries = (await admin("GET", f"/v1/audit?target={job_id}")).json()["entries"]
    assert [(entry["action"], entry["actor"], entry["face"]) for entry in entries] == [("job.canceled", "ops", "rest")]
    assert (entries[0]["before"], entries[0]["after"]) == ({"status": "queued"}, {"status": "canceled"})
    sent = await accepted(flows, deferral(1))
    _, job = await leased(flows)
    assert (await admin("DELETE", f"{JOBS}/{sent}", role="operator")).status_code == 409
    await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b""))])
    assert (await admin("DELETE", f"{JOBS}/{sent}", role="operator")).status_code == 409
    assert (await admin("GET", f"/v1/audit?target={sent}")).json()["entries"] == []


@pytest.mark.parametrize("job_id", ["0-" + "x" * 22, "fff-" + "x" * 22, "x", "%00", "0-%2e%2e"])
async def test_an_unknown_job_is_not_found(admin: Admin, job_id: str) -> None:
    assert (await admin("GET", f"{JOBS}/{job_id}", role="viewer")).status_code == 404
    assert (await admin("DELETE", f"{JOBS}/{job_id}", role="operator")).status_code == 404
