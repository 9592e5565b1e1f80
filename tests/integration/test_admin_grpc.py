"""The gRPC API, on real stores: what it does, who may do it, and what its errors are."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from redis.asyncio import Redis

from app.admin.grpc.messages import to_fields
from app.admin.grpc.server import MAX_CALLS_AT_ONCE, MAX_CALLS_OF_A_CONNECTION, MAX_MESSAGE_BYTES
from app.admin.proto import admin_pb2 as pb
from app.queue.flow_name import flow_id
from app.rules.model import parse_rule
from sync.publisher import Publisher
from tests.support.admin_in_process import Admin
from tests.support.grpc_in_process import METHODS, SERVICES, GrpcAdmin, grpc_running
from tests.support.rules import publish_all

RULE = pb.Rule(rule_id="r", key_type=["user"], key_value=["*"], limit=5, window_seconds=60)


OF_PLAN = {"rule_id": "plan", "key_type": "claim:plan", "key_value": "7", "limit": 1, "window_seconds": 1}


@pytest.fixture
async def grpc_admin(admin: Admin) -> AsyncIterator[GrpcAdmin]:
    async with grpc_running(admin) as running:
        yield running


def details_of(error: grpc.aio.AioRpcError, kind: Any) -> Any:  # noqa: ANN401
    status = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    for detail in status.details:
        found = kind()
        if detail.Unpack(found):
            return found
    return None


async def test_a_rule_lives_as_over_rest(grpc_admin: GrpcAdmin) -> None:
    created = await grpc_admin("CreateRule", pb.CreateRuleRequest(rule=RULE))
    assert (created.rule.limit, created.rule.version, created.rule.updated_by) == (5, 1, "ops")
    over_rest = await grpc_admin.admin("GET", "/v1/rules/r")
    assert over_rest.headers["ETag"] == created.etag
    assert over_rest.json()["key_type"] == "user"

    mask = FieldMask(paths=["limit", "queue.max_depth", "variable_cost"])
    changed = pb.Rule(rule_id="r", limit=9, burst=99, queue=pb.QueueOptions(max_depth=7))
    changed.variable_cost.header = "x-cost"
    update = pb.UpdateRuleRequest(rule=changed, update_mask=mask, etag=created.etag)
    updated = (await grpc_admin("UpdateRule", update)).rule
    assert (updated.limit, updated.HasField("burst"), updated.queue.max_depth) == (9, False, 7)
    assert updated.variable_cost.header == "x-cost"

    listed = await grpc_admin("ListRules", pb.ListRulesRequest(search="r", limit=1))
    assert [rule.rule_id for rule in listed.rules] == ["r"]
    replaced = (await grpc_admin("UpdateRule", pb.UpdateRuleRequest(rule=RULE))).rule
    assert (replaced.limit, replaced.HasField("queue"), replaced.version) == (5, False, 3)
    await grpc_admin("DeleteRule", pb.DeleteRuleRequest(rule_id="r"))
    missing = await grpc_admin.fails("GetRule", pb.GetRuleRequest(rule_id="r"))
    assert missing.code() is grpc.StatusCode.NOT_FOUND
    audit = (await grpc_admin.admin("GET", "/v1/audit?target=r")).json()["entries"]
    assert {(entry["actor"], entry["face"]) for entry in audit} == {("ops", "grpc")}
    assert [entry["action"] for entry in audit][-1] == "rule.created"


async def test_a_flow_is_paused_and_given_a_rate_for_a_while(grpc_admin: GrpcAdmin, cache: Redis) -> None:
    await publish_all(Publisher(cache), [parse_rule({**OF_PLAN, "rule_id": "r", "on_limit": "defer"})], 1)
    flow = flow_id("r|user:a")
    paused = (await grpc_admin("PauseFlow", pb.PauseFlowRequest(flow_id=flow, for_seconds=60))).settings
    rate = pb.FlowRate(limit=5, window_seconds=1)
    rated = await grpc_admin("SetFlowRate", pb.SetFlowRateRequest(flow_id=flow, rate=rate, for_seconds=120))
    assert paused.paused_until.seconds - paused.changed_at.seconds == 60
    assert rated.settings.paused_until == paused.paused_until
    assert rated.settings.rate_until.seconds - rated.settings.changed_at.seconds == 120
    resumed = (await grpc_admin("ResumeFlow", pb.ResumeFlowRequest(flow_id=flow))).settings
    assert (resumed.paused, resumed.HasField("paused_until"), resumed.HasField("rate_until")) == (False, False, True)
    for seconds in (0, -1, 2**31 - 1):
        refused = await grpc_admin.fails("PauseFlow", pb.PauseFlowRequest(flow_id=flow, for_seconds=seconds))
        assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_rule_with_every_kind_of_field_comes_back_as_it_was(grpc_admin: GrpcAdmin) -> None:
    fields = {
        "key_type": ["user", "claim:tenant"],
        "key_value": ["*", "acme"],
        "limit": 10,
        "window_seconds": 1.5,
        "limits": [{"limit": 100, "window_seconds": 60.0, "cost": 1}],
        "cost": {"header": "x-cost", "max": 5},
        "match": {"claims": {"plan": ["pro", 5, True], "tier": "gold"}, "methods": ["GET"]},
        "on_limit": "defer",
        "drain": {"limit": 5, "window_seconds": 1.0, "burst": 5},
        "concurrency": 3,
        "priority": -2,
    }
    assert (await grpc_admin.admin("PUT", "/v1/rules/r", fields)).status_code == 201
    before = (await grpc_admin.admin("GET", "/v1/rules/r")).json()
    rule = (await grpc_admin("GetRule", pb.GetRuleRequest(rule_id="r"))).rule
    await grpc_admin("UpdateRule", pb.UpdateRuleRequest(rule=rule))
    after = (await grpc_admin.admin("GET", "/v1/rules/r")).json()
    of_store = {"version", "updated_at", "updated_by"}
    kept = {name: value for name, value in after.items() if name not in of_store}
    assert kept["match"].pop("claims") == {"plan": ["pro", 5, True], "tier": ["gold"]}
    before["match"].pop("claims")
    assert kept == {name: value for name, value in before.items() if name not in of_store}


async def test_errors_have_a_code_a_reason_and_the_field(grpc_admin: GrpcAdmin) -> None:
    wrong = pb.Rule(rule_id="r", key_type=["user"], key_value=["*"], limit=5, window_seconds=60, burst=-1)
    invalid = await grpc_admin.fails("CreateRule", pb.CreateRuleRequest(rule=wrong))
    assert invalid.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details_of(invalid, ErrorInfo).reason == "INVALID_RULE"
    assert details_of(invalid, BadRequest).field_violations[0].field == "burst"

    await grpc_admin("CreateRule", pb.CreateRuleRequest(rule=RULE))
    taken = await grpc_admin.fails("CreateRule", pb.CreateRuleRequest(rule=RULE))
    assert taken.code() is grpc.StatusCode.FAILED_PRECONDITION
    stale = await grpc_admin.fails("DeleteRule", pb.DeleteRuleRequest(rule_id="r", etag='"7-0123456789abcdef"'))
    assert (stale.code(), details_of(stale, ErrorInfo).reason) == (grpc.StatusCode.ABORTED, "PRECONDITION_FAILED")
    for request in (pb.GetRuleRequest(rule_id="../x"), pb.GetRuleRequest()):
        assert (await grpc_admin.fails("GetRule", request)).code() is grpc.StatusCode.INVALID_ARGUMENT
    for mask in (["nothing"], ["limit.x"], ["rule_id", "queue.nothing"]):
        update = pb.UpdateRuleRequest(rule=RULE, update_mask=FieldMask(paths=mask))
        assert (await grpc_admin.fails("UpdateRule", update)).code() is grpc.StatusCode.INVALID_ARGUMENT
    too_many = pb.ListRulesRequest(limit=1001)
    assert (await grpc_admin.fails("ListRules", too_many)).code() is grpc.StatusCode.INVALID_ARGUMENT
    large = pb.CreateRuleRequest(rule=pb.Rule(rule_id="x" * MAX_MESSAGE_BYTES))
    assert (await grpc_admin.fails("CreateRule", large)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(("method", "request_type"), METHODS, ids=[method for method, _ in METHODS])
async def test_every_call_needs_a_token_and_the_role_that_its_comment_names(
    grpc_admin: GrpcAdmin, method: str, request_type: str
) -> None:
    request = getattr(pb, request_type)()
    for name, value in (("rule_id", "r"), ("version", 1)):
        if name in request.DESCRIPTOR.fields_by_name:
            setattr(request, name, value)
    if "rule" in request.DESCRIPTOR.fields_by_name:
        request.rule.CopyFrom(RULE)
    assert (await grpc_admin.fails(method, request, None)).code() is grpc.StatusCode.UNAUTHENTICATED
    assert (await grpc_admin.fails(method, request, "nobody")).code() is grpc.StatusCode.PERMISSION_DENIED
    for role in ("viewer", "operator", "admin")[: ("viewer", "operator", "admin").index(ROLE_OF[method])]:
        wrong = await grpc_admin.fails(method, getattr(pb, request_type)(), role)
        assert wrong.code() is grpc.StatusCode.PERMISSION_DENIED, "before the request is looked at"
    allowed = [role for role in ("viewer", "operator", "admin") if await may(grpc_admin, method, request, role)]
    assert allowed[:1] == [ROLE_OF[method]]
    assert allowed == ["viewer", "operator", "admin"][-len(allowed) :]


async def may(grpc_admin: GrpcAdmin, method: str, request: Any, role: str) -> bool:  # noqa: ANN401
    try:
        await grpc_admin(method, request, role)
    except grpc.aio.AioRpcError as error:
        assert error.code() is not grpc.StatusCode.INTERNAL, error.details()
        return error.code() is not grpc.StatusCode.PERMISSION_DENIED
    return True


def _roles() -> dict[str, str]:
    """The role that the comment of each method names."""
    text = (Path(pb.__file__).parent / "admin.proto").read_text()
    found, role = {}, ""
    for line in text.splitlines():
        if "Role: " in line:
            role = line.partition("Role: ")[2].rstrip(".")
        elif line.strip().startswith("rpc "):
            found[line.split()[1].partition("(")[0]] = role
    return found


ROLE_OF = _roles()


async def test_a_deadline_ends_a_call(grpc_admin: GrpcAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def never(*_: object) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    monkeypatch.setattr(grpc_admin.admin.parts.rules, "get", never, raising=True)
    await grpc_admin("ListRules", pb.ListRulesRequest())  # so that the keys of the issuer are known
    for timeout_s in (0.3, 1, 3, 10, 30):  # until the deadline leaves the call enough time to arrive
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await grpc_admin("GetRule", pb.GetRuleRequest(rule_id="r"), timeout_s=timeout_s)
        assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if entered.is_set():
            break
    assert entered.is_set()
    await asyncio.wait_for(cancelled.wait(), 30)


async def test_one_connection_does_not_hold_the_places_of_all_calls(grpc_admin: GrpcAdmin) -> None:
    health: Any = health_pb2_grpc.HealthStub(grpc_admin.channel)
    watching = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(MAX_CALLS_AT_ONCE)]
    await asyncio.gather(*(one.read() for one in watching[:MAX_CALLS_OF_A_CONNECTION]))
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await grpc_admin("ListRules", pb.ListRulesRequest(), timeout_s=1)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED, "it waits for its turn on this connection"
    async with grpc_admin.of_another_connection() as other:
        assert not (await other("ListRules", pb.ListRulesRequest())).rules
    for one in watching:
        one.cancel()


async def test_health_and_reflection_need_no_token(grpc_admin: GrpcAdmin) -> None:
    health: Any = health_pb2_grpc.HealthStub(grpc_admin.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(cast(Any, grpc_admin.channel))
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    async for listed in reflection.ServerReflectionInfo(iter([asked])):
        names = {service.name for service in listed.list_services_response.service}
        assert {service.full_name for service in SERVICES.values()} <= names


async def test_explain_and_status_answer_as_over_rest(grpc_admin: GrpcAdmin, cache: Redis) -> None:
    await publish_all(Publisher(cache), [parse_rule(to_fields(RULE)), parse_rule(OF_PLAN)], 1)
    request = pb.ExplainRequest(user="ann", headers={"x-a": "b"}, path="/x")
    request.claims["plan"].number_value = 7
    explained = await grpc_admin("Explain", request, "viewer")
    assert (explained.decision, [rule.rule_id for rule in explained.rules]) == ("forward", ["r", "plan"])
    assert (explained.rules[0].remaining, explained.rules[0].window_seconds) == (5, 60)
    wrong = await grpc_admin.fails("Explain", pb.ExplainRequest(ip="nowhere"), "viewer")
    assert wrong.code() is grpc.StatusCode.INVALID_ARGUMENT

    status = (await grpc_admin("GetStatus", pb.GetStatusRequest(), "viewer")).status
    over_rest = (await grpc_admin.admin("GET", "/v1/status")).json()
    assert [store.store for store in status.stores] == [store["store"] for store in over_rest["stores"]]
    assert all(store.reachable for store in status.stores)


async def test_a_schedule_and_a_change_for_a_while(grpc_admin: GrpcAdmin) -> None:
    rule = pb.Rule()
    rule.CopyFrom(RULE)
    rule.on_limit = "defer"
    window = rule.schedule.add(days=["mon"], to="06:00", drain=pb.Drain(limit=9, window_seconds=1))
    setattr(window, "from", "22:00")
    created = (await grpc_admin("CreateRule", pb.CreateRuleRequest(rule=rule))).rule
    assert (getattr(created.schedule[0], "from"), created.schedule[0].drain.limit) == ("22:00", 9)
    rate = pb.SetDrainRateRequest(rule_id="r", drain=pb.Drain(limit=3, window_seconds=1), for_seconds=600)
    changed = (await grpc_admin("SetDrainRate", rate, "operator")).rule
    assert changed.drain.limit == 3
    assert changed.temporary[0].HasField("until")
    paused = (await grpc_admin("PauseDrain", pb.PauseDrainRequest(rule_id="r"), "operator")).rule
    assert paused.paused
    assert not (await grpc_admin("ResumeDrain", pb.ResumeDrainRequest(rule_id="r"), "operator")).rule.paused
    for_ever = pb.SetDrainRateRequest(rule_id="r", drain=rate.drain, for_seconds=0)
    assert (await grpc_admin.fails("SetDrainRate", for_ever)).code() is grpc.StatusCode.INVALID_ARGUMENT
