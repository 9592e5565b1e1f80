"""The admin API says what is in force of a rule, why, and until when."""

from datetime import datetime
from typing import Any

import jsonschema_rs
from redis.asyncio import Redis

from app.rules.model import editable_fields, parse_rule
from sync.publisher import Publisher
from tests.support.admin_in_process import Admin
from tests.support.rules import RULE, publish_all

FAST = {"limit": 50, "window_seconds": 1}
ALWAYS = {"from": "00:00", "to": "00:00", "limit": {"limit": 7, "window_seconds": 60}}


async def shown(admin: Admin) -> dict[str, Any]:
    found: dict[str, Any] = (await admin("GET", "/v1/rules/r", role="viewer")).json()
    return found


async def test_a_rule_says_what_is_in_force_and_until_when(admin: Admin) -> None:
    await admin("POST", "/v1/rules", RULE)
    assert "in_force" not in await shown(admin)
    await admin("PATCH", "/v1/rules/r", {"schedule": [ALWAYS]})
    scheduled = await shown(admin)
    assert scheduled["limit"] == 5
    always = {"source": "schedule", "until": None, "window": 0, "limit": 7, "window_seconds": 60, "burst": None}
    assert scheduled["in_force"] == always | {"drain": None, "paused": False}
    assert (await admin("GET", "/v1/rules", role="viewer")).json()["rules"] == [scheduled], "lists say it too"
    await admin("PUT", "/v1/rules/r/drain?for_seconds=600", FAST)
    temporary = await shown(admin)
    assert temporary["in_force"].items() >= {"source": "temporary", "window": 0, "limit": 7}.items()
    assert temporary["in_force"]["drain"]["limit"] == 50
    until = [
        datetime.fromisoformat(text) for text in (temporary["in_force"]["until"], temporary["temporary"][0]["until"])
    ]
    assert until[0] == until[1]
    assert (await admin("PUT", "/v1/rules/r", temporary)).status_code == 200, "what was read can be written back"
    assert (await shown(admin))["temporary"] == temporary["temporary"]


async def test_what_is_shown_is_as_documented(admin: Admin) -> None:
    await admin("POST", "/v1/rules", RULE | {"schedule": [ALWAYS | {"days": ["mon"], "timezone": "Europe/Berlin"}]})
    await admin("POST", "/v1/rules/r/drain/pause?for_seconds=600")
    document = (await admin("GET", "/openapi.json", role=None)).json()
    answer = document["paths"]["/v1/rules/{rule_id}"]["get"]["responses"]["200"]["content"]["application/json"]
    jsonschema_rs.validate(answer["schema"] | {"components": document["components"]}, await shown(admin))


async def test_explain_says_where_a_limit_comes_from(admin: Admin, cache: Redis) -> None:
    await admin("POST", "/v1/rules", RULE | {"limit": 9, "schedule": [ALWAYS]})
    await admin("PATCH", "/v1/rules/r?for_seconds=600", {"limit": 6})
    found = await shown(admin)
    rules = [editable_fields(found) | {"temporary": found["temporary"]}, RULE | {"rule_id": "plain", "key_type": "ip"}]
    await publish_all(Publisher(cache), [parse_rule(rule | {"key_value": "*"}) for rule in rules], 1)
    explained = (await admin("POST", "/v1/explain", {"user": "u"})).json()["rules"]
    assert [(one["rule_id"], one["source"], one["limit"]) for one in explained] == [
        ("r", "temporary", 6),
        ("plain", "rule", 5),
    ]
    until = datetime.fromisoformat(explained[0]["until"])
    assert until == datetime.fromisoformat(found["temporary"][0]["until"])
    assert explained[1]["until"] is None
