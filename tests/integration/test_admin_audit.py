"""The audit: each change of a rule is there with it, or neither is; it can be searched, and holds no secrets."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.admin.operators import Operator, Role
from app.admin.services.audit import Audit
from app.audit.entry import AuditEntry
from app.audit.log import AuditFilter, AuditLog
from app.clients import MongoDatabase
from app.errors import Forbidden
from app.queue.flows import Flows
from app.rules.model import parse_rule
from app.rules.store import RuleStore
from sync.publisher import Publisher
from tests.support.admin_in_process import Admin
from tests.support.dead_letters import dead
from tests.support.flow_steps import accepted, active, deferral
from tests.support.rules import OPS, RULE, publish_all

DRAIN = {"limit": 3, "window_seconds": 1}
OPERATOR = Operator("olga", Role.OPERATOR)


async def entries(admin: Admin, query: str = "") -> list[dict[str, Any]]:
    answer = await admin("GET", f"/v1/audit{query}", role="viewer")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["entries"]
    return found


@asynccontextmanager
async def failing(database: MongoDatabase, **data: object) -> AsyncIterator[None]:
    """Every write of the audit fails, or is delayed, as `data` says."""
    point = {"configureFailPoint": "failCommand"}
    data |= {"failCommands": ["insert"], "namespace": f"{database.name}.audit"}
    await database.client.admin.command(point | {"mode": "alwaysOn", "data": data})
    try:
        yield
    finally:
        await database.client.admin.command(point | {"mode": "off"})


async def test_every_change_of_a_rule_says_who_made_it_by_which_face_from_what_to_what(admin: Admin) -> None:
    await admin("POST", "/v1/rules", RULE)
    await admin("PUT", "/v1/rules/r", RULE | {"limit": 6})
    await admin("PATCH", "/v1/rules/r", {"limit": 7})
    await admin("PUT", "/v1/rules/r/drain", DRAIN, "operator")
    await admin("DELETE", "/v1/rules/r/drain", None, "operator")
    await admin("POST", "/v1/rules/r/drain/pause", None, "operator")
    await admin("POST", "/v1/rules/r/drain/resume", None, "operator")
    await admin("PUT", "/v1/rules", {"rules": [RULE | {"limit": 8}, RULE | {"rule_id": "s"}]})
    await admin("PUT", "/v1/rules", {"rules": [RULE | {"limit": 8}], "delete": ["s", "missing"]})
    await admin("PUT", "/v1/rules", {"rules": [RULE | {"limit": 9}]})
    await admin("DELETE", "/v1/rules/r")
    found = await entries(admin)
    assert [(one["action"], one["target"]) for one in reversed(found)] == [
        ("rule.created", "r"),
        *[("rule.changed", "r")] * 4,
        ("rule.paused", "r"),
        ("rule.resumed", "r"),
        ("rule.changed", "r"),
        ("rule.created", "s"),
        ("rule.deleted", "s"),
        ("rule.changed", "r"),
        ("rule.deleted", "r"),
    ]
    assert {(one["actor"], one["face"]) for one in found} == {("ops", "rest")}
    of_r = [one for one in reversed(found) if one["target"] == "r"]
    assert of_r[0]["before"] is None and of_r[-1]["after"] is None
    for earlier, later in pairwise(of_r):
        assert earlier["after"] == later["before"], "an entry begins where the last one ended"
    assert [(one["after"] or {}).get("limit") for one in of_r] == [5, 6, 7, 7, 7, 7, 7, 8, 9, None]
    assert of_r[3]["after"]["drain"] == DRAIN


async def test_what_changes_nothing_is_not_recorded(admin: Admin) -> None:
    await admin("POST", "/v1/rules", RULE)
    await admin("PUT", "/v1/rules?dry_run=true", {"rules": [RULE | {"limit": 9}], "delete": []})
    await admin("PUT", "/v1/rules", {"rules": [RULE], "delete": ["missing"]})
    await admin("PUT", "/v1/rules/r", RULE | {"limit": 9}, If_Match='"7"')
    await admin("POST", "/v1/rules", RULE)
    await admin("DELETE", "/v1/rules/missing")
    assert [one["action"] for one in await entries(admin)] == ["rule.created"]


async def test_entries_are_found_by_actor_action_target_and_time(admin: Admin) -> None:
    log = AuditLog(admin.rules.database)
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
    day = noon.date()
    done = [("rule.changed", "a"), ("rule.deleted", "b"), ("flow.paused", "a"), ("job.canceled", "c")]
    for hour, (action, target) in enumerate(done):
        await log.add(
            [AuditEntry(OPS if hour % 2 else OPERATOR.actor, action, target, at=noon + timedelta(hours=hour))]
        )
    for query, expected in {
        "": ["c", "a", "b", "a"],
        "?actor=ops": ["c", "b"],
        "?action=rule": ["b", "a"],
        "?action=rule.deleted": ["b"],
        "?action=rul": [],
        "?target=a": ["a", "a"],
        "?target=a&action=flow": ["a"],
        f"?since={day}T13:00:00Z&until={day}T15:00:00Z": ["a", "b"],
        f"?since={day}T15:00:00%2B01:00&actor=olga": ["a"],
        "?limit=1": ["c"],
    }.items():
        assert [one["target"] for one in await entries(admin, query)] == expected, query
    bad = [
        "since=yesterday",
        "since=2026-05-04T12:00",
        "limit=0",
        "limit=501",
        "after=x",
        "since=0001-01-01T00:00:00%2B14:00",
        "until=0",
        "since=1770000000.5",
        "since=2026-05-04",
    ]
    for query in (*bad, "after=1-xyz", "actor=" + "x" * 257):
        answer = await admin("GET", f"/v1/audit?{query}")
        assert answer.status_code == 422, (query, answer.text)
    for cursor in ("999999999999999", "-999999999999999"):
        assert (await admin("GET", f"/v1/audit?after={cursor}-{'0' * 24}")).status_code == 200


async def test_pages_have_each_entry_once_also_those_of_one_moment(admin: Admin) -> None:
    log, yesterday = AuditLog(admin.rules.database), datetime.now(UTC) - timedelta(days=1)
    await log.add([AuditEntry(OPS, "job.canceled", str(i), at=yesterday) for i in range(25)])
    seen, after = [], ""
    while after is not None:
        page = (await admin("GET", f"/v1/audit?limit=10{after and f'&after={after}'}")).json()
        seen += [one["target"] for one in page["entries"]]
        after = page["next"]
        await log.add([AuditEntry(OPS, "job.canceled", "new")])
    assert sorted(map(int, seen)) == list(range(25))


async def test_a_service_records_what_operators_do_without_credentials(admin: Admin) -> None:
    audit = Audit(AuditLog(admin.rules.database))
    headers = {"Authorization": "Bearer secret", "cookie": "secret", "Accept": "x"}
    await audit.record(OPERATOR, action="job.canceled", target="j", before={"headers": [headers]}, after="x" * 300_000)
    (entry,) = await entries(admin)
    assert entry["before"] == {"headers": [{"Accept": "x"}]}
    assert entry["after"] == {"omitted_bytes": 300_017}
    with pytest.raises(Forbidden):
        await audit.record(Operator("vera", Role.VIEWER), action="job.canceled", target="j")


async def test_an_invalid_document_is_recorded_by_what_is_wrong_with_it(admin: Admin) -> None:
    secret = {"key_type": "header:x-api-key", "key_value": "s3cret", "secret": True, "limit": 1, "window_seconds": 1}
    await admin.rules.insert_one({"_id": "r"} | secret)
    assert (await admin("PUT", "/v1/rules/r", RULE)).status_code == 200
    (entry,) = await entries(admin)
    assert entry["before"] == {"invalid": "key_value: a secret is stored as 'hmac-sha256:' and 64 hexadecimal digits"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "bulk"])
async def test_a_change_whose_audit_fails_is_not_made(admin: Admin, method: str) -> None:
    database = admin.rules.database
    await RuleStore(database).setup()
    await admin("POST", "/v1/rules", RULE)
    before = await admin.rules.find().to_list(None)
    calls = {
        "POST": ("POST", "/v1/rules", RULE | {"rule_id": "new"}),
        "PUT": ("PUT", "/v1/rules/r", RULE | {"limit": 6}),
        "PATCH": ("PATCH", "/v1/rules/r", {"limit": 6}),
        "DELETE": ("DELETE", "/v1/rules/r", None),
        "bulk": ("PUT", "/v1/rules", {"rules": [RULE | {"limit": 6}, RULE | {"rule_id": "new"}]}),
    }
    async with failing(database, errorCode=2):
        answer = await admin(*calls[method])
    assert answer.status_code == 503, answer.text
    assert await admin.rules.find().to_list(None) == before
    assert [one["action"] for one in await entries(admin)] == ["rule.created"]
    assert (await admin(*calls[method])).is_success


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("DELETE", "/v1/jobs/{waiting}", None, id="cancel"),
        pytest.param("POST", "/v1/dead-letters/{dead}/replay", None, id="replay"),
        pytest.param("POST", "/v1/dead-letters/replay", {"ids": ["{dead}"]}, id="replay these"),
        pytest.param("POST", "/v1/dead-letters/replay", {"rule_id": "r"}, id="replay those of a rule"),
        pytest.param("DELETE", "/v1/dead-letters/{dead}", None, id="delete"),
    ],
)
async def test_what_is_told_before_it_is_done_is_not_done_while_the_audit_fails(
    admin: Admin, flows: Flows, cache: Redis, method: str, path: str, body: dict[str, Any] | None
) -> None:
    await publish_all(Publisher(cache), [active().rule], 1)
    ids = {"dead": await dead(flows, 1), "waiting": await accepted(flows, deferral(2))}
    filled = body and {
        name: [one.format(**ids) for one in value] if isinstance(value, list) else value for name, value in body.items()
    }
    database = admin.rules.database
    await RuleStore(database).setup()
    async with failing(database, errorCode=2):
        answer = await admin(method, path.format(**ids), filled)
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json"), answer.text
    assert (await admin("GET", f"/v1/jobs/{ids['waiting']}")).json()["status"] == "queued"
    assert (await admin("GET", f"/v1/dead-letters/{ids['dead']}")).status_code == 200
    assert await entries(admin) == []
    assert (await admin(method, path.format(**ids), filled)).is_success


async def test_a_pause_and_a_purge_go_on_while_the_audit_fails(admin: Admin, flows: Flows, cache: Redis) -> None:
    await publish_all(Publisher(cache), [active().rule], 1)
    waiting = await accepted(flows, deferral(1))
    database = admin.rules.database
    await RuleStore(database).setup()
    flow = (await admin("GET", f"/v1/jobs/{waiting}")).json()["flow_id"]
    async with failing(database, errorCode=2):
        with capture_logs() as logs:
            assert (await admin("POST", f"/v1/flows/{flow}/pause")).json()["paused"] is True
            assert (await admin("POST", f"/v1/flows/{flow}/purge")).json()["canceled"] == 1
    told = [entry["action"] for entry in logs if entry["event"] == "audit_not_written"]
    assert told == ["flow.paused", "flow.purged"], "they are in the log of the process"


WRITE = """
import asyncio, sys
from pymongo import monitoring
from app.audit.entry import Actor
from app.clients import mongo_client
from app.rules.model import parse_rule
from app.rules.store import RuleStore

class Commands(monitoring.CommandListener):
    def started(self, event):
        if event.command.get("insert") == "audit":
            print("audit", flush=True)

    def succeeded(self, event): ...
    def failed(self, event): ...

async def main():
    monitoring.register(Commands())
    rule = parse_rule({"rule_id": "r", "key_type": "user", "key_value": "u", "limit": 6, "window_seconds": 60})
    await RuleStore(mongo_client(sys.argv[1])[sys.argv[2]]).put(rule, Actor("killed"))

asyncio.run(main())
"""


async def test_a_process_that_is_killed_between_rule_and_audit_changed_nothing(admin: Admin, mongod_url: str) -> None:
    database = admin.rules.database
    store = RuleStore(database)
    await store.setup()
    await store.put(parse_rule(RULE), OPS)
    async with failing(database, blockConnection=True, blockTimeMS=20_000):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WRITE, mongod_url, database.name), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"audit\n"
        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert (await store.get("r")).limit == 5
    await store.put(parse_rule(RULE | {"limit": 7}), OPS)
    found, _ = await AuditLog(database).page(AuditFilter(target="r"), None, 10)
    assert [(one["actor"], (one["after"] or {}).get("limit")) for one in found] == [("ops", 7), ("ops", 5)]


async def test_entries_go_after_the_days_of_the_setting(admin: Admin) -> None:
    database = admin.rules.database
    for days in (365, 30):
        await RuleStore(database).setup(audit_days=days)
        indexes = (await database["audit"].index_information()).values()
        assert [one["expireAfterSeconds"] for one in indexes if "expireAfterSeconds" in one] == [days * 86_400]
