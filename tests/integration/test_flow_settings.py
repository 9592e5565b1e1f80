"""A pause and a rate of one flow, by the admin API, as workers obey them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis

from app.clients import counter_scripts
from app.errors import QueueUnavailable
from app.limiter.keys import descriptor
from app.limiter.places import Places
from app.limiter.redis_limiter import RedisLimiter
from app.process.lifecycle import cancel
from app.queue import keys
from app.queue.flow_name import flow_id
from app.queue.flow_settings import FlowRate, FlowSetting, FlowSettingStore
from app.queue.flows import Flows
from app.queue.model import FlowHead, FrozenCharge, Wait
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule
from app.rules.cache import RuleCache
from app.settings import Settings
from consumers.flow_settings import FlowSettings
from consumers.slots import SlotSource
from sync.publisher import Publisher
from tests.support.admin_in_process import Admin
from tests.support.flow_steps import accepted, active, deferral, take
from tests.support.rules import publish_all
from tests.support.waiting import eventually

FLOW = "r|user:u"
PATH = f"/v1/flows/{flow_id(FLOW)}"
OWN_BUDGET: dict[str, Any] = {"drain": None, "limit": 10, "window_seconds": 600, "burst": 1}


@pytest.fixture
async def rule_in_force(cache: Redis) -> None:
    await publish_all(Publisher(cache), [active().rule], 1)


@pytest.fixture
def known(flows: Flows, queue: Redis, queueing: Scripts) -> FlowSettings:
    """What a worker knows of the settings."""
    return FlowSettings(FlowSettingStore(queue, queueing), flows, queue)


@pytest.fixture
async def slots(
    flows: Flows, counting: Scripts, cache: Redis, known: FlowSettings, settings: Settings
) -> AsyncIterator[SlotSource]:
    scripts = counter_scripts(settings, 5000)
    yield SlotSource(RedisLimiter(scripts), Places(counting), flows, RuleCache(cache, settings), known, settings)
    await scripts.aclose()


async def changed(admin: Admin, method: str, path: str, body: object = None, role: str = "operator") -> dict[str, Any]:
    answer = await admin(method, path, body, role)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def park(flows: Flows, slots: SlotSource) -> int:
    """Take what is due and park what is paused, as a worker does; how many flows are not paused."""
    left = 0
    for flow in await take(flows):
        rule = await slots.rule_of(flow.name)
        assert rule is not None
        if rule.paused:
            await flows.park(flow.name, flow.token, rule.active.revision, rule.flow_paused_in)
        else:
            await flows.give_back(flow, Wait(0))
            left += 1
    return left


async def state(admin: Admin) -> str:
    return str((await admin("GET", PATH, role="viewer")).json()["state"])


@pytest.mark.usefixtures("rule_in_force")
async def test_a_paused_flow_accepts_jobs_and_sends_none_until_it_is_resumed(
    admin: Admin, flows: Flows, known: FlowSettings, slots: SlotSource
) -> None:
    await accepted(flows, deferral(0, user="u"))
    await accepted(flows, deferral(0, user="other"))
    assert (await admin("POST", f"{PATH}/pause", role="viewer")).status_code == 403
    paused = await changed(admin, "POST", f"{PATH}/pause")
    assert (paused["rule_id"], paused["descriptor"], paused["paused"], paused["changed_by"]) == (
        "r", "user:u", True, "ops",
    )  # fmt: skip
    assert await state(admin) == "paused", "at once"
    await known.refresh()
    assert await park(flows, slots) == 1, "the other one goes on"
    await accepted(flows, deferral(1, user="u"))
    await flows.reschedule("r", active(2))
    assert await park(flows, slots) == 1, "a changed rule does not resume it"
    assert await state(admin) == "paused"
    [job, *_] = (await admin("GET", f"/v1/jobs?flow={flow_id(FLOW)}", role="viewer")).json()["jobs"]
    waiting = (await admin("GET", f"/v1/jobs/{job['id']}", role="viewer")).json()["wait"]
    assert (waiting["reason"], waiting["detail"]) == ("paused", "Its flow is paused.")
    resumed = await changed(admin, "POST", f"{PATH}/resume")
    assert resumed["paused"] is False
    await known.refresh()
    assert await park(flows, slots) == 2
    assert await state(admin) == "draining"


@pytest.mark.usefixtures("rule_in_force")
async def test_a_worker_that_has_not_heard_of_it_does_not_park_a_resumed_flow(
    admin: Admin, flows: Flows, known: FlowSettings, slots: SlotSource, queue: Redis
) -> None:
    await accepted(flows, deferral(0, user="u"))
    await changed(admin, "POST", f"{PATH}/pause")
    await known.refresh()
    [flow] = await take(flows)
    rule = await slots.rule_of(flow.name)
    assert rule is not None
    await changed(admin, "POST", f"{PATH}/resume")
    quicker = FlowSettings(FlowSettingStore(queue, flows._scripts), flows, queue)
    await quicker.refresh()
    await flows.park(flow.name, flow.token, 1, rule.flow_paused_in)
    assert await queue.hexists("{q0}:flow:r|user:u", "parked") is False
    await asyncio.sleep(0.11)
    assert [unit.name for unit in await take(flows)] == [FLOW], "it is looked at again soon"


@pytest.mark.usefixtures("rule_in_force")
async def test_a_pause_is_known_to_a_worker_before_it_takes_anything(
    admin: Admin, flows: Flows, queue: Redis, queueing: Scripts
) -> None:
    await changed(admin, "POST", f"{PATH}/pause")
    started = FlowSettings(FlowSettingStore(queue, queueing), flows, queue)
    await started.load()
    assert started.paused(FLOW)
    assert started.paused("r|user:u;by-address|ip:192.0.2.1"), "whatever else its jobs are charged for"
    assert not started.paused("other|user:u")
    assert not started.paused("r|user:u2")


@pytest.mark.usefixtures("rule_in_force")
async def test_workers_hear_of_changes(admin: Admin, known: FlowSettings) -> None:
    await known.load()
    following = asyncio.create_task(known.run())
    await changed(admin, "POST", f"{PATH}/pause")

    async def heard() -> bool:
        return known.paused(FLOW)

    await eventually(heard, 5, "the worker knows that the flow is paused")
    await cancel({following})


@pytest.mark.usefixtures("rule_in_force")
async def test_flows_are_looked_at_also_where_the_queue_went_away_after_the_settings_were_read(
    admin: Admin, flows: Flows, known: FlowSettings, slots: SlotSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accepted(flows, deferral(0, user="u"))
    await changed(admin, "POST", f"{PATH}/pause")
    await known.refresh()
    assert await park(flows, slots) == 0
    await changed(admin, "POST", f"{PATH}/resume")

    async def away(*_: object) -> None:
        raise QueueUnavailable("away")

    with monkeypatch.context() as patched, pytest.raises(QueueUnavailable):
        patched.setattr(known, "_flows", SimpleNamespace(reconsider=away))  # the flows may be compiled
        await known.refresh()
    assert await park(flows, slots) == 0
    await known.refresh()
    assert await park(flows, slots) == 1


@pytest.mark.usefixtures("rule_in_force")
async def test_a_worker_reads_all_settings_for_a_small_part_of_its_time(
    known: FlowSettings, queueing: Scripts, queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    took_s, began_s = 0.02, list[float]()

    async def slowly(_: FlowSettingStore) -> dict[str, FlowSetting]:
        began_s.append(monotonic())
        await queue.incr(keys.flow_settings_version(0))  # somebody changes one setting after the other
        await queue.publish(keys.flow_settings(0), "r|user:u")
        await asyncio.sleep(took_s)
        return {}

    monkeypatch.setattr(FlowSettingStore, "all", slowly)
    await FlowSettingStore(queue, queueing).set_paused("r|user:u", "ops", paused=True)
    following = asyncio.create_task(known.run())

    async def read_often() -> bool:
        return len(began_s) > 4

    await eventually(read_often, 10, "the settings are read again and again")
    await cancel({following})
    assert min(later - earlier for earlier, later in pairwise(began_s)) >= 4 * took_s


@pytest.mark.usefixtures("rule_in_force")
async def test_what_a_flow_obeys_is_remembered_until_something_changes(admin: Admin, known: FlowSettings) -> None:
    await changed(admin, "POST", f"{PATH}/pause")
    assert (known.paused(FLOW), known.paused("r|user:v")) == (False, False)
    await known.refresh()
    assert (known.paused(FLOW), known.paused(FLOW), known.paused("r|user:v")) == (True, True, False)
    await changed(admin, "POST", f"{PATH}/resume")
    await changed(admin, "POST", f"/v1/flows/{flow_id('r|user:v')}/pause")
    await known.refresh()
    assert (known.paused(FLOW), known.paused("r|user:v")) == (False, True)


@pytest.mark.parametrize("users", [["u"], ["u", "a*"]], ids=["one", "two"])
async def test_flows_that_obey_what_has_changed_are_looked_at_and_no_others(
    flows: Flows, queue: Redis, users: list[str]
) -> None:
    obeying, others = set[str](), set[str]()
    for user in ("u", "u2", "xu", "a*", "ab"):
        address = FrozenCharge("by-address", "ip:192.0.2.1", 1)
        own, plan = FrozenCharge("r", descriptor("user", user), 1), FrozenCharge("r", "claim:plan:free", 1)
        for charges in ((own,), (own, address), (plan,)):
            new = deferral(0, user=user, charges=charges, caller=own.descriptor)
            await accepted(flows, new)
            (obeying if user in users else others).add(new.flow)
        await accepted(flows, deferral(0, user=user, charges=(address, own)))
    for flow in obeying | others:
        await queue.hset(f"{{q0}}:flow:{flow}", "parked", "flow")
    await flows.reconsider({f"r|{descriptor('user', user)}" for user in users}, 1)
    parked = {flow for flow in obeying | others if await queue.hexists(f"{{q0}}:flow:{flow}", "parked")}
    assert parked == others


def acquired(slots: SlotSource, rule: ActiveRule, name: str = FLOW, n: int = 1) -> Any:  # noqa: ANN401 - a coroutine
    return slots.acquire(FlowHead(name, 100, 100, "-"), rule, n, 1)


@pytest.mark.usefixtures("rule_in_force")
async def test_a_rate_takes_the_place_of_the_rules_drain_rate(
    admin: Admin, known: FlowSettings, slots: SlotSource
) -> None:
    rule = active(drain={"limit": 10, "window_seconds": 600})
    await acquired(slots, rule)
    await changed(admin, "PUT", f"{PATH}/rate", {"limit": 2, "window_seconds": 600})
    await known.refresh()
    grant = await acquired(slots, rule)
    assert grant.slots_s == (), "what was spent at the former rate stays spent"
    assert 200 < grant.next_wait_us / 1e6 <= 300
    await changed(admin, "PUT", f"{PATH}/rate", {"limit": 50, "window_seconds": 600})
    await known.refresh()
    grant = await acquired(slots, rule)
    assert (grant.slots_s, grant.wait.interval_us) == ((), 12_000_000), "also above the rule's drain rate"
    removed = await changed(admin, "DELETE", f"{PATH}/rate")
    assert removed["rate"] is None
    await known.refresh()
    grant = await acquired(slots, rule)
    assert (grant.slots_s, grant.wait.interval_us) == ((), 60_000_000), "as the rule says again"
    assert 30 < grant.next_wait_us / 1e6 <= 60
    grant = await acquired(slots, active(2, drain={"limit": 4, "window_seconds": 600}))
    assert (grant.slots_s, grant.wait.interval_us) == ((), 150_000_000)
    assert 100 < grant.next_wait_us / 1e6 <= 150


@pytest.mark.parametrize(("limit", "interval_us"), [(50, 60_000_000), (2, 300_000_000)], ids=["above", "below"])
@pytest.mark.usefixtures("rule_in_force")
async def test_a_rate_is_never_above_the_limits_that_the_flow_shares(
    admin: Admin, known: FlowSettings, slots: SlotSource, limit: int, interval_us: int
) -> None:
    await changed(admin, "PUT", f"{PATH}/rate", {"limit": limit, "window_seconds": 600})
    await known.refresh()
    rule = active(**OWN_BUDGET)
    await acquired(slots, rule)
    assert (await acquired(slots, rule)).wait.interval_us == interval_us


@pytest.mark.usefixtures("rule_in_force")
async def test_the_rate_of_one_caller_of_a_shared_counter_holds_for_no_other(
    admin: Admin, known: FlowSettings, slots: SlotSource
) -> None:
    mine, other = "r|claim:plan:free>user:u", "r|claim:plan:free>user:v"
    shown = await changed(admin, "PUT", f"/v1/flows/{flow_id(mine)}/rate", {"limit": 1, "window_seconds": 60})
    assert shown["descriptor"] == "user:u"
    await known.refresh()
    rule = active(drain={"limit": 10, "window_seconds": 1, "burst": 5})
    assert len((await acquired(slots, rule, mine, 3)).slots_s) == 1
    assert len((await acquired(slots, rule, other, 3)).slots_s) == 3


@pytest.mark.usefixtures("rule_in_force")
async def test_a_waiting_flow_is_looked_at_when_its_rate_changes(
    admin: Admin, flows: Flows, known: FlowSettings
) -> None:
    address = FrozenCharge("by-address", "ip:192.0.2.1", 1)
    await accepted(flows, deferral(0, user="u", charges=(FrozenCharge("r", "user:u", 1), address)))
    await accepted(flows, deferral(0, user="other"))
    for flow in await take(flows):
        await flows.give_back(flow, Wait(3600 * 10**6, flow.name.split(";")[0], 1))
    assert await take(flows) == []
    await changed(admin, "PUT", f"{PATH}/rate", {"limit": 50, "window_seconds": 1})
    await known.refresh()
    [flow] = await take(flows)
    assert flow.name == "r|user:u;by-address|ip:192.0.2.1"
    await changed(admin, "PUT", f"{PATH}/rate", {"limit": 60, "window_seconds": 1})
    await known.refresh()
    await flows.give_back(flow, Wait(3600 * 10**6, "r|user:u", 1))
    assert len(await take(flows)) == 1, "a worker that held it may have asked before the change"


@pytest.mark.usefixtures("rule_in_force")
async def test_what_is_set_is_shown_with_the_flow_and_audited(admin: Admin, flows: Flows) -> None:
    await accepted(flows, deferral(0, user="u"))
    await changed(admin, "PUT", f"{PATH}/rate", {"limit": 50, "window_seconds": 1})
    await changed(admin, "POST", f"{PATH}/pause")
    shown = (await admin("GET", PATH, role="viewer")).json()
    assert shown["own_rate"] == {"limit": 50, "window_seconds": 1.0, "burst": 1}
    assert (shown["permitted_per_second"], shown["state_detail"]) == (50.0, "ops has paused it.")
    [listed] = (await admin("GET", "/v1/flow-settings", role="viewer")).json()["settings"]
    assert (listed["descriptor"], listed["paused"], listed["rate"]["limit"]) == ("user:u", True, 50)
    await changed(admin, "DELETE", f"{PATH}/rate")
    await changed(admin, "POST", f"{PATH}/resume")
    assert (await admin("GET", "/v1/flow-settings", role="viewer")).json() == {"settings": [], "next": None}
    audited = (await admin("GET", "/v1/audit?action=flow", role="viewer")).json()["entries"]
    assert [entry["action"] for entry in audited] == [
        "flow.resumed", "flow.rate_unset", "flow.paused", "flow.rate_set",
    ]  # fmt: skip
    rate = {"limit": 50, "window_seconds": 1, "burst": 1}
    assert (audited[1]["target"], audited[1]["before"]) == (FLOW, {"paused": True, "rate": rate})
    assert audited[1]["after"] == {"paused": True, "rate": None}


@pytest.mark.usefixtures("rule_in_force")
async def test_a_rate_for_a_while_ends_by_the_workers_and_the_audit_says_so_once(
    admin: Admin, known: FlowSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The admin process, in this test, does nothing in the background: whoever set it may be gone."""
    await changed(admin, "PUT", f"{PATH}/rate", {"limit": 50, "window_seconds": 600})
    shown = await changed(admin, "PUT", f"{PATH}/rate?for_seconds=1", {"limit": 2, "window_seconds": 600})
    assert (shown["rate"]["limit"], shown["paused_until"]) == (2, None)
    lasts_s = (
        datetime.fromisoformat(shown["rate_until"]) - datetime.fromisoformat(shown["changed_at"])
    ).total_seconds()
    assert lasts_s == 1
    await known.load()
    assert [one.rate and one.rate.limit for one in known.of(FLOW)] == [2]
    following = asyncio.create_task(known.run())
    await eventually(lambda: known.of(FLOW)[0].rate == FlowRate(50, 600), 10, "it has its former rate again")
    await cancel({following})

    ends = admin.parts.flow_setting_ends
    with monkeypatch.context() as patched, pytest.raises(QueueUnavailable):

        async def away(*_: object) -> None:
            raise QueueUnavailable("away")

        patched.setattr(FlowSettingStore, "forget_ended", away)
        await ends.look()
    await ends.look()
    [entry] = (await admin("GET", "/v1/audit?action=flow.reverted", role="viewer")).json()["entries"]
    assert (entry["actor"], entry["face"], entry["target"]) == ("penstock", "process", FLOW)
    assert (entry["before"]["rate"]["limit"], entry["before"]["rate_until"]) == (2, shown["rate_until"])
    assert entry["after"] == {"paused": False, "rate": {"limit": 50, "window_seconds": 600.0, "burst": 1}}
    assert datetime.fromisoformat(shown["rate_until"]) <= datetime.fromisoformat(entry["at"])


@pytest.mark.usefixtures("rule_in_force")
async def test_what_is_set_again_meanwhile_stays_and_all_else_returns(
    admin: Admin, flows: Flows, known: FlowSettings
) -> None:
    await accepted(flows, deferral(0, user="u"))
    store = known._store
    rate, other = {"limit": 2, "window_seconds": 600}, {"limit": 3, "window_seconds": 600}
    paused = await changed(admin, "POST", f"{PATH}/pause?for_seconds=1")
    assert (await admin("GET", PATH, role="viewer")).json()["state_detail"].startswith("ops has paused it until ")
    await changed(admin, "PUT", f"{PATH}/rate?for_seconds=60", rate)
    again = await changed(admin, "PUT", f"{PATH}/rate?for_seconds=1", other)
    assert (again["paused_until"], again["paused"]) == (paused["paused_until"], True), "another value goes its own way"
    later = f"/v1/flows/{flow_id('r|user:later')}"
    for path in (f"{later}/pause?for_seconds=1", f"{later}/pause"):
        await changed(admin, "POST", path)
    await changed(admin, "PUT", f"{later}/rate", rate)
    assert (await changed(admin, "PUT", f"{later}/rate?for_seconds=1", rate))["rate_until"] is None, "nothing returns"

    async def ended() -> bool:
        await store.end_due()
        return "r|user:u" not in await store.all() or (await store.all())["r|user:u"].removed

    await eventually(ended, 10, "neither a pause nor a rate is left, of which there were none before")
    [left] = (await admin("GET", "/v1/flow-settings", role="viewer")).json()["settings"]
    assert (left["descriptor"], left["paused"], left["paused_until"]) == ("user:later", True, None)
    await admin.parts.flow_setting_ends.look()
    reverted = (await admin("GET", "/v1/audit?action=flow.reverted", role="viewer")).json()["entries"]
    assert {entry["target"] for entry in reverted} == {FLOW}


@pytest.mark.usefixtures("rule_in_force")
async def test_very_many_that_end_at_once_end_in_small_calls_and_leave_bounded_notes(
    known: FlowSettings, queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.queue.flow_settings.MAX_NOTES", 120)
    store = known._store
    await store.end_due()  # the first call of a script to a Redis that does not know it is two
    for number in range(250):
        await store.set_paused(f"r|user:{number}", "ops", paused=True, for_ms=1)
    await asyncio.sleep(0.01)
    await queue.config_resetstat()
    await store.end_due()
    assert await store.all() == {}
    calls = (await queue.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert calls == 3
    assert await queue.hlen("{q0}:settings_ended") == 120
    assert await queue.exists("{q0}:settings_until") == 0
    found = await store.ended()
    await store.forget_ended(found)
    assert len(found) == 120 - await queue.hlen("{q0}:settings_ended")


@pytest.mark.parametrize("seconds", ["0", "-1", "x", str(30 * 86_400 + 1)])
@pytest.mark.usefixtures("rule_in_force")
async def test_a_time_that_is_none_is_refused(admin: Admin, seconds: str) -> None:
    assert (await admin("POST", f"{PATH}/pause?for_seconds={seconds}")).status_code == 422
    rate = {"limit": 2, "window_seconds": 600}
    assert (await admin("PUT", f"{PATH}/rate?for_seconds={seconds}", rate)).status_code == 422


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"limit": 0, "window_seconds": 1}, 422),
        ({"limit": 1, "window_seconds": 0}, 422),
        ({"limit": 10_000_000, "window_seconds": 1}, 400),
        ({"limit": 1, "window_seconds": 86_400, "burst": 1_000_000}, 400),
        ({"limit": 1}, 422),
        ({"limit": 1, "window_seconds": 1, "concurrency": 2}, 422),
        ([], 422),
    ],
)
@pytest.mark.usefixtures("rule_in_force")
async def test_a_rate_that_is_none_is_refused(admin: Admin, body: object, status: int) -> None:
    assert (await admin("PUT", f"{PATH}/rate", body)).status_code == status


async def test_a_flow_of_no_rule_is_not_found(admin: Admin, flows: Flows, cache: Redis) -> None:
    await publish_all(Publisher(cache), [], 1)
    assert (await admin("POST", f"{PATH}/pause")).status_code == 404
    await accepted(flows, deferral(0, user="u"))
    assert (await admin("POST", f"{PATH}/pause")).status_code == 200, "what still waits of a rule that is gone"


@pytest.mark.usefixtures("rule_in_force")
async def test_settings_are_bounded(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.queue.flow_settings.MAX_SETTINGS", 2)
    for user, status in (("a", 200), ("b", 200), ("c", 409), ("a", 200)):
        path = f"/v1/flows/{flow_id(f'r|user:{user}')}/pause"
        assert (await admin("POST", path)).status_code == status


@pytest.mark.usefixtures("rule_in_force")
async def test_rates_that_were_removed_leave_room_for_others(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.queue.flow_settings.MAX_SETTINGS", 2)
    a, b, c = (f"/v1/flows/{flow_id(f'r|user:{user}')}/rate" for user in "abc")
    for path in (a, b):
        await changed(admin, "PUT", path, {"limit": 2, "window_seconds": 600})
    await changed(admin, "DELETE", a)
    await changed(admin, "PUT", c, {"limit": 2, "window_seconds": 600})
    listed = (await admin("GET", "/v1/flow-settings", role="viewer")).json()["settings"]
    assert [one["descriptor"] for one in listed] == ["user:b", "user:c"]


async def test_what_is_set_can_be_removed_after_its_rule_and_its_flows_are_gone(
    admin: Admin, cache: Redis, flows: Flows, records: Records
) -> None:
    await publish_all(Publisher(cache), [], 1)
    job_id = await accepted(flows, deferral(0, user="u"))
    await changed(admin, "POST", f"{PATH}/pause")
    assert await records.cancel(job_id)
    assert (await admin("POST", f"/v1/flows/{flow_id('r|user:v')}/pause")).status_code == 404
    await changed(admin, "POST", f"{PATH}/resume")
    assert (await admin("GET", "/v1/flow-settings", role="viewer")).json()["settings"] == []
    assert (await admin("POST", f"{PATH}/pause")).status_code == 404
