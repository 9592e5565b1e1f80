"""What the pages of the dashboard show in tests: rules of each kind, jobs that wait, dead letters, an operation."""

import asyncio
from dataclasses import dataclass
from typing import Any

from tests.support.dashboard import Dashboard
from tests.support.waiting import eventually

SCRIPT = "<script>document.title='ran'</script><img src=x onerror=document.title='ran'>"
LONG = "tenant-with-a-very-long-name-that-does-not-fit-into-any-column-of-a-table@customers.example.com"
LONG_RULE = "a-rule-whose-name-is-as-long-as-a-name-may-be-0123456789-abcdefg"
HOUR_S = 3600

_DEFERRED = {"limit": 1, "window_seconds": HOUR_S, "on_limit": "defer", "queue": {"on_delete": "reject"}}
RULES: dict[str, dict[str, Any]] = {
    LONG_RULE: {"key_value": LONG, **_DEFERRED, "drain": {"limit": 1, "window_seconds": HOUR_S / 6}},
    "script": {
        "key_value": SCRIPT,
        **_DEFERRED,
        "drain": {"limit": 50, "window_seconds": 1},
        "queue": {"max_attempts": 1, "on_delete": "reject"},
    },
    "shadowed": {"key_value": "*", "limit": 5, "window_seconds": 60, "shadow": True},
    "disabled": {"key_value": "nobody", "limit": 5, "window_seconds": 60, "enabled": False},
    "stopped": {"key_value": "stopped", **_DEFERRED, "paused": True},
    "complex": {
        "key_type": ["user", "claim:tenant"],
        "key_value": ["*", "acme"],
        "limit": 1_000_000,
        "window_seconds": 86_400,
        "limits": [{"limit": 10, "window_seconds": 1}],
        "match": {"methods": ["POST"], "path_prefix": "/v1/", "claims": {"tenant_number": 9007199254740993}},
        "concurrency": 5,
        "schedule": [
            {"from": "22:00", "to": "06:00", "timezone": "Europe/Berlin", "limit": {"limit": 5, "window_seconds": 60}}
        ],
    },
}


@dataclass(frozen=True)
class Content:
    """What was made: the ids by which pages are opened."""

    rule_id: str
    flow_id: str
    waiting_job_id: str
    failed_job_id: str
    operation_id: str


async def make_content(dashboard: Dashboard) -> Content:
    """Write the rules, send requests that are deferred and some that fail, and start an operation."""
    for rule_id, fields in RULES.items():
        answer = await dashboard.api("PUT", f"/v1/rules/{rule_id}", {"rule_id": rule_id, "key_type": "user"} | fields)
        assert answer.status in {200, 201}, answer.body
    await dashboard.system.put_rule("not-a-rule", key_type="ip", key_value="<b>nowhere", limit=1, window_seconds=60)
    for subject, rule_id in ((LONG, LONG_RULE), (SCRIPT, "script"), ("stopped", "stopped")):
        await dashboard.system.rule_is_known(rule_id, subject)
    waiting = [await _deferred(dashboard, LONG, f"/orders/{number}?q={SCRIPT}") for number in range(4)]
    failed = [await _deferred(dashboard, SCRIPT, f"/pay/{number}?status=500") for number in range(3)]
    await _deferred(dashboard, "stopped", "/held-back")
    for job_id in failed:
        await dashboard.system.ended(job_id, SCRIPT)
    operation = {"kind": "delete_dead_letters", "filter": {"rule_id": "nowhere"}}
    started = (await dashboard.api("POST", "/v1/operations", operation)).json()
    job = (await dashboard.api("GET", f"/v1/jobs/{waiting[-1]}")).json()
    return Content(LONG_RULE, job["flow_id"], waiting[-1], failed[-1], started["id"])


async def _deferred(dashboard: Dashboard, subject: str, target: str) -> str:
    """Send a request until it is deferred: the first one is within the limit. Returns the id of the job."""
    found: list[str] = []

    async def is_deferred() -> bool:
        headers = {"Content-Type": "application/json", "X-Note": SCRIPT}
        answer = await dashboard.system.request("POST", target, subject, data='{"n":9007199254740993}', headers=headers)
        found.append(answer.json()["id"] if answer.status == 202 else "")
        return answer.status == 202

    await eventually(is_deferred, 20, f"a request of {subject} is deferred")
    return found[-1]


async def remove_content(dashboard: Dashboard) -> None:
    """Leave nothing of it to other tests."""
    for rule_id in RULES:
        after: str | None = ""
        while after is not None:
            answer = await dashboard.api(
                "POST", f"/v1/rules/{rule_id}/drain/purge" + (f"?after={after}" if after else "")
            )
            after = answer.json().get("next") if answer.status == 200 else None
    await dashboard.api("PUT", "/v1/rules", {"delete": list(RULES)})
    await dashboard.system.rules.delete_one({"_id": "not-a-rule"})
    await _delete_letters(dashboard, "script")


async def _delete_letters(dashboard: Dashboard, rule_id: str) -> None:
    letters = (await dashboard.api("GET", f"/v1/dead-letters?rule_id={rule_id}")).json()["dead_letters"]
    await asyncio.gather(*(dashboard.api("DELETE", f"/v1/dead-letters/{one['id']}") for one in letters))
