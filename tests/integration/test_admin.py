"""The admin API on a real MongoDB: roles, ETags, drains, problems."""

import pytest
from redis.asyncio import Redis

from app.clients import mongo_client
from app.redis_wire.scripts import Scripts
from app.rules.model import parse_rule
from app.settings import Settings
from sync.publisher import Publisher
from tests.support.admin_in_process import Admin, admin_running
from tests.support.rules import RULE, publish_all


async def test_a_rule_from_its_making_to_its_end(admin: Admin) -> None:
    made = await admin("POST", "/v1/rules", RULE)
    assert made.status_code == 201
    first = made.headers["ETag"]
    assert first.startswith('"1-')
    assert (await admin("POST", "/v1/rules", RULE)).status_code == 409
    read = (await admin("GET", "/v1/rules/r", role="viewer")).json()
    assert read | RULE == read
    assert (read["version"], read["updated_by"]) == (1, "ops")
    changed = await admin("PUT", "/v1/rules/r", read | {"limit": 6}, If_Match=first)
    assert (changed.status_code, changed.headers["ETag"][:3], changed.json()["limit"]) == (200, '"2-', 6)
    assert (await admin("PUT", "/v1/rules/r", RULE, If_Match=first)).status_code == 412
    patched = await admin("PATCH", "/v1/rules/r", {"queue": {"max_depth": 7}, "burst": 9})
    assert (patched.json()["queue"], patched.json()["burst"], patched.json()["limit"]) == ({"max_depth": 7}, 9, 6)
    cleared = await admin("PATCH", "/v1/rules/r", {"burst": None})
    assert "burst" not in cleared.json()
    listed = (await admin("GET", "/v1/rules")).json()
    assert ([rule["rule_id"] for rule in listed["rules"]], listed["invalid"]) == (["r"], [])
    assert (await admin("DELETE", "/v1/rules/r", If_Match=first)).status_code == 412
    assert (await admin("DELETE", "/v1/rules/r")).status_code == 204
    assert (await admin("DELETE", "/v1/rules/r")).status_code == 404
    assert (await admin("GET", "/v1/rules/r")).status_code == 404


async def test_roles(admin: Admin) -> None:
    await admin("POST", "/v1/rules", RULE)
    rate = {"limit": 1, "window_seconds": 1}
    attempts = [("GET", "/v1/rules", None), ("PUT", "/v1/rules/r/drain", rate), ("PUT", "/v1/rules/r", RULE)]
    for role, expected in {"viewer": [200, 403, 403], "operator": [200, 200, 403], "admin": [200, 200, 200]}.items():
        assert [(await admin(method, path, body, role)).status_code for method, path, body in attempts] == expected
    assert [(await admin(method, path, body, "owner")).status_code for method, path, body in attempts] == [403] * 3
    assert [(await admin(method, path, body, None)).status_code for method, path, body in attempts] == [401] * 3


async def test_a_token_of_the_data_plane_is_refused(admin: Admin) -> None:
    token = admin.issuer.token("ops", penstock_role="admin")
    refused = await admin("GET", "/v1/rules", role=None, Authorization=f"Bearer {token}")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert refused.headers["Content-Type"] == "application/problem+json"


async def test_drains(admin: Admin) -> None:
    await admin("POST", "/v1/rules", RULE)
    drain = {"limit": 50, "window_seconds": 1}
    assert (await admin("PUT", "/v1/rules/r/drain", drain, "operator")).json()["drain"] == drain
    assert (await admin("POST", "/v1/rules/r/drain/pause", role="operator")).json()["paused"] is True
    assert "paused" not in (await admin("POST", "/v1/rules/r/drain/resume", role="operator")).json()
    assert "drain" not in (await admin("DELETE", "/v1/rules/r/drain", role="operator")).json()
    assert (await admin("PUT", "/v1/rules/none/drain", drain)).status_code == 404
    wrong = await admin("PUT", "/v1/rules/r/drain", {"limit": -1, "window_seconds": 1})
    assert (wrong.status_code, wrong.json()["detail"].partition(":")[0]) == (422, "drain.limit")


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (RULE | {"limit": "5"}, 422, "limit"),
        (RULE | {"more": 1}, 422, "more"),
        (RULE | {"key_value": {"$ne": 1}}, 422, "key_value"),
        ([], 400, ""),
        ("text", 400, ""),
    ],
)
async def test_what_is_wrong_is_refused_and_nothing_written(
    admin: Admin, body: object, status: int, named: str
) -> None:
    answer = await admin("POST", "/v1/rules", body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.json()["detail"].startswith(named)
    assert await admin.rules.count_documents({}) == 0


async def test_a_document_that_is_no_rule_is_listed_as_such(admin: Admin) -> None:
    await admin.rules.insert_one(
        {"_id": "bad", "key_type": "user", "key_value": "u", "limit": "x", "window_seconds": 1}
    )
    (invalid,) = (await admin("GET", "/v1/rules")).json()["invalid"]
    assert invalid["rule_id"] == "bad"
    assert invalid["problem"].startswith("limit")


async def test_without_mongodb_it_is_a_503(cache: Redis, queue: Redis, counting: Scripts, queueing: Scripts) -> None:
    nowhere = mongo_client("mongodb://127.0.0.1:9/", server_selection_timeout_s=0.2)
    async with admin_running(nowhere, cache, queue, counting, queueing) as lost:
        for method, path, body in [
            ("GET", "/v1/rules", None),
            ("GET", "/v1/rules?sort=priority", None),
            ("POST", "/v1/rules", RULE),
            ("DELETE", "/v1/rules/r", None),
            ("GET", "/v1/audit", None),
        ]:
            answer = await lost(method, path, body)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


async def test_explain_says_what_would_happen_and_spends_nothing(admin: Admin, cache: Redis) -> None:
    rules = [
        RULE | {"rule_id": "user", "key_value": "*", "limit": 2, "on_limit": "defer"},
        RULE | {"rule_id": "net", "key_type": "ip", "key_value": "10.0.0.0/8", "limit": 1},
        RULE | {"rule_id": "dark", "key_type": "claim:tier", "key_value": "gold", "limit": 1, "shadow": True},
        RULE
        | {"rule_id": "home", "key_type": "ip", "key_value": "2001:db8::/32", "match": {"path_prefix": "/v6"}}
        | {"cost": {"header": "x-cost"}},
    ]
    await publish_all(Publisher(cache), map(parse_rule, rules), 1)
    question = {"user": "u", "ip": "10.1.2.3", "claims": {"tier": "gold"}, "method": "POST", "path": "/x"}
    for _ in range(5):
        answer = (await admin("POST", "/v1/explain", question, "viewer")).json()
    assert (answer["decision"], answer["by"]) == ("forward", [])
    assert [(one["rule_id"], one["descriptor"], one["remaining"]) for one in answer["rules"]] == [
        ("user", "user:u", 2),
        ("dark", "claim:tier:gold", 1),
        ("net", "ip:10.0.0.0/8", 1),
    ]
    everywhere = (await admin("POST", "/v1/explain", {"ip": "2001:db8::1", "path": "/v6/x"})).json()
    assert [one["rule_id"] for one in everywhere["rules"]] == ["home"]
    dear = (await admin("POST", "/v1/explain", {"ip": "2001:db8::1", "path": "/v6", "headers": {"X-COST": "4"}})).json()
    assert [one["cost"] for one in (*everywhere["rules"], *dear["rules"])] == [1, 4]
    nowhere = (await admin("POST", "/v1/explain", {"ip": "192.0.2.1"})).json()
    assert nowhere == {"rules": [], "decision": "forward", "by": []}
    bad_headers = ({"headers": {"a b": "1"}}, 422)
    for bad, status in (({"ip": "nonsense"}, 400), ({"path": "/../x"}, 400), ({"more": 1}, 422), bad_headers):
        assert (await admin("POST", "/v1/explain", bad)).status_code == status


async def test_explain_refuses_what_no_rule_allows_as_edges_do(
    settings: Settings, cache: Redis, queue: Redis, counting: Scripts, queueing: Scripts
) -> None:
    rules = [
        RULE | {"rule_id": "known", "key_value": "known"},
        RULE | {"rule_id": "dark", "key_value": "dark", "shadow": True},
    ]
    await publish_all(Publisher(cache), map(parse_rule, rules), 1)
    async with admin_running(settings.mongodb_url, cache, queue, counting, queueing, no_rule="deny") as admin:
        known = (await admin("POST", "/v1/explain", {"user": "known"})).json()
        shadowed = (await admin("POST", "/v1/explain", {"user": "dark"})).json()
        unknown = (await admin("POST", "/v1/explain", {"user": "nobody"})).json()
    assert (known["decision"], known["by"]) == ("forward", [])
    assert [one["rule_id"] for one in shadowed["rules"]] == ["dark"]
    assert (shadowed["decision"], shadowed["by"]) == ("block", [])
    assert unknown == {"rules": [], "decision": "block", "by": []}
