"""Both OpenAPI documents describe a problem that many routes answer with once, and all references lead somewhere."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.admin.rest.application import admin_document
from app.edge.api import edge_document
from app.web.openapi import SERVER_PROBLEMS

DOCUMENTS = {"admin": admin_document, "edge": edge_document}


@pytest.fixture(params=DOCUMENTS)
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    return DOCUMENTS[request.param]()


def responses_of(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The name of each operation, with each status and what is described of it."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                yield f"{method} {path}", status, response


def found(document: dict[str, Any], reference: str) -> Any:  # noqa: ANN401 - JSON
    value: Any = document
    for part in reference.removeprefix("#/").split("/"):
        value = value[part]
    return value


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def test_no_route_repeats_what_another_one_answers_with(document: dict[str, Any]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for operation, status, response in responses_of(document):
        if "$ref" in response or "application/problem+json" not in response.get("content", {}):
            continue
        described = (status, json.dumps(response, sort_keys=True))
        assert described not in seen, f"{operation} and {seen[described]} both describe {status}"
        seen[described] = operation


def test_every_route_has_the_problems_of_the_server_with_their_headers(document: dict[str, Any]) -> None:
    statuses: dict[str, set[int]] = {}
    for operation, status, response in responses_of(document):
        whole = found(document, response["$ref"]) if "$ref" in response else response
        cache_control = whole["headers"]["Cache-Control"]
        assert found(document, cache_control["$ref"])["schema"] == {"const": "no-store"}
        if status.isdecimal() and int(status) in SERVER_PROBLEMS:
            schema = whole["content"]["application/problem+json"]["schema"]
            assert found(document, schema["$ref"])["title"] == "Problem"
            statuses.setdefault(operation, set()).add(int(status))
        if "$ref" in response and status in {"429", "503"}:
            assert whole["headers"]["Retry-After"]["required"] is True
        if "$ref" in response and status == "401":
            assert whole["headers"]["WWW-Authenticate"]["required"] is True
    assert statuses.keys() == {operation for operation, _, _ in responses_of(document)}
    assert all(of_one == set(SERVER_PROBLEMS) for of_one in statuses.values())


def test_every_reference_leads_to_a_component_and_every_shared_response_is_used(document: dict[str, Any]) -> None:
    used = set(references(document))
    assert all(isinstance(found(document, reference), dict) for reference in used)
    assert {f"#/components/responses/{name}" for name in document["components"]["responses"]} <= used
