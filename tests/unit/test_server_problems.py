"""The OpenAPI documents name what the HTTP server answers by itself."""

import ast
from pathlib import Path

from app import errors
from app.web.openapi import SERVER_PROBLEMS

SERVER = Path(__file__).parents[2] / "app" / "http1" / "server"
NOT_OF_A_DOCUMENTED_ROUTE = {
    errors.MethodNotAllowed.status: "no route has the method CONNECT",
    errors.ClientGone.status: "nobody receives it",
}


def test_every_error_that_the_server_makes_is_documented_for_each_route() -> None:
    made = {
        node.func.id
        for file in SERVER.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    kinds = [getattr(errors, name) for name in made if hasattr(errors, name)]
    assert {int(kind.status) for kind in kinds} - NOT_OF_A_DOCUMENTED_ROUTE.keys() == set(SERVER_PROBLEMS)
