"""Every route of the admin API takes a role: the least that will do, as the document and this test say."""

import re
import time
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from tests.support.admin_in_process import Admin
from tests.support.rules import RULE

ROLES = ["viewer", "operator", "admin"]
LEAST = {
    "GET /v1/rules": "viewer",
    "POST /v1/rules": "admin",
    "PUT /v1/rules": "admin",
    "GET /v1/rules/{rule_id}": "viewer",
    "PUT /v1/rules/{rule_id}": "admin",
    "PATCH /v1/rules/{rule_id}": "admin",
    "DELETE /v1/rules/{rule_id}": "admin",
    "POST /v1/rules/{rule_id}/preview": "viewer",
    "GET /v1/rules/{rule_id}/history": "viewer",
    "GET /v1/rules/{rule_id}/history/{version}": "viewer",
    "POST /v1/rules/{rule_id}/restore": "admin",
    "PUT /v1/rules/{rule_id}/drain": "operator",
    "DELETE /v1/rules/{rule_id}/drain": "operator",
    "POST /v1/rules/{rule_id}/drain/pause": "operator",
    "POST /v1/rules/{rule_id}/drain/resume": "operator",
    "POST /v1/rules/{rule_id}/drain/purge": "operator",
    "GET /v1/flows": "viewer",
    "GET /v1/flows/{flow_id}": "viewer",
    "POST /v1/flows/{flow_id}/purge": "operator",
    "POST /v1/flows/{flow_id}/pause": "operator",
    "POST /v1/flows/{flow_id}/resume": "operator",
    "PUT /v1/flows/{flow_id}/rate": "operator",
    "DELETE /v1/flows/{flow_id}/rate": "operator",
    "GET /v1/flow-settings": "viewer",
    "GET /v1/dead-letters": "viewer",
    "GET /v1/dead-letters/{job_id}": "viewer",
    "DELETE /v1/dead-letters/{job_id}": "operator",
    "POST /v1/dead-letters/{job_id}/replay": "operator",
    "POST /v1/dead-letters/replay": "operator",
    "GET /v1/operations": "viewer",
    "POST /v1/operations": "operator",
    "GET /v1/operations/{operation_id}": "viewer",
    "DELETE /v1/operations/{operation_id}": "operator",
    "POST /v1/explain": "viewer",
    "GET /v1/audit": "viewer",
    "GET /v1/jobs": "viewer",
    "GET /v1/jobs/{job_id}": "viewer",
    "DELETE /v1/jobs/{job_id}": "operator",
    "GET /v1/status": "viewer",
    "GET /v1/status/history": "viewer",
    "GET /v1/events": "viewer",
    "GET /v1/operator": "viewer",
    "POST /v1/sign-in/tickets": "viewer",
}
PUBLIC = {"GET /v1/sign-in", "POST /v1/sign-in/ticket", "POST /v1/sign-in/oidc"}
"""Whoever signs in has no token yet."""
UNDOCUMENTED = {
    f"{method} {path}"
    for method in ("GET", "HEAD")
    for path in ("/docs", "/docs/start.js", "/docs/{name}", "/openapi.json")
}


async def document(admin: Admin) -> dict[str, Any]:
    answer = await admin("GET", "/openapi.json", role=None)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def filled(operation: str) -> tuple[str, str]:
    method, _, path = operation.partition(" ")
    return method, re.sub(r"\{.*?\}", "r", path)


async def test_the_document_has_all_routes_and_each_has_one_role(admin: Admin) -> None:
    found = operations(await document(admin))
    assert {name: operation.get("security") for name, operation in found.items()} == {
        name: [{"operator": [least]}] for name, least in LEAST.items()
    } | dict.fromkeys(PUBLIC)
    app = admin.client._transport.app  # type: ignore[attr-defined]
    routes = {
        f"{method} {route.path}" for route in iter_route_contexts(app.routes) for method in route.methods or {"any"}
    }
    assert routes - LEAST.keys() - PUBLIC == UNDOCUMENTED, "what is not in the document is only the document"


@pytest.mark.parametrize("operation", LEAST)
async def test_less_than_the_role_is_refused_before_anything_else_is_looked_at(admin: Admin, operation: str) -> None:
    """The bodies are no JSON: who may not call a route is not told so."""
    await admin("POST", "/v1/rules", RULE)
    method, path = filled(operation)
    least = LEAST[operation]
    for role in [None, "owner", "ADMIN", "", *ROLES[: ROLES.index(least)]]:
        answer = await admin(method, path, content=b"{", role=role, If_Match="nonsense")
        assert answer.status_code == (401 if role is None else 403), (role, answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (answer.headers.get("WWW-Authenticate") is not None) == (role is None)
    for role in ROLES[ROLES.index(least) :]:
        answer = await admin(method, path, content=b"{", role=role)
        assert answer.status_code not in {401, 403, 500}, (role, answer.text)
    assert await admin.rules.count_documents({}) == (0 if operation == "DELETE /v1/rules/{rule_id}" else 1)


@pytest.mark.parametrize("operation", LEAST)
async def test_only_a_valid_token_of_the_admin_audience_counts(admin: Admin, operation: str) -> None:
    issue, claims = admin.issuer.token, {"aud": "penstock-admin", "penstock_role": "admin"}
    method, path = filled(operation)
    refused = {
        "the data plane's": f"Bearer {issue('ops', penstock_role='admin')}",
        "another's": f"Bearer {issue('ops', **claims | {'iss': 'evil'})}",
        "past its time": f"Bearer {issue('ops', **claims, exp=int(time.time()) - 60)}",
        "tampered with": f"Bearer {issue('ops', **claims)[:-4]}AAAA",
        "of another scheme": f"Basic {issue('ops', **claims)}",
    }
    for why, authorization in refused.items():
        answer = await admin(method, path, role=None, Authorization=authorization)
        assert answer.status_code == 401, (why, answer.text)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert (await admin(method, path, role=None, Authorization="Bearer ")).status_code == 400


async def test_roles_that_are_no_text_are_none(admin: Admin) -> None:
    for role in (["admin"], {"admin": True}, 3, True, None):
        token = admin.issuer.token("ops", aud="penstock-admin", penstock_role=role)
        answer = await admin("GET", "/v1/rules", role=None, Authorization=f"Bearer {token}")
        assert answer.status_code == 403


async def test_two_authorization_headers_are_one_too_many(admin: Admin) -> None:
    token = admin.issuer.token("ops", aud="penstock-admin", penstock_role="admin")
    headers = [("Authorization", f"Bearer {token}"), ("Authorization", "Bearer x")]
    assert (await admin.client.get("/v1/rules", headers=headers)).status_code == 400


async def test_no_other_site_is_let_in_and_no_cache_keeps_an_answer(admin: Admin) -> None:
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
    answers = [
        await admin.client.options("/v1/rules/r", headers=preflight),
        await admin.client.get("/v1/nothing", headers=preflight),
        await admin.client.get("/openapi.json", headers=preflight),
        await admin.client.get("/docs", headers=preflight),
        await admin("GET", "/v1/rules", Origin="https://evil.example"),
        await admin("GET", "/v1/rules", role=None, Origin="https://evil.example"),
        await admin("DELETE", "/v1/rules/r"),
    ]
    assert [answer.status_code for answer in answers] == [405, 404, 200, 200, 200, 401, 404]
    assert answers[0].headers["Allow"] == "DELETE, GET, HEAD, PATCH, PUT"
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Date"]
