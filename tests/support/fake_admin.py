"""An admin API without an installation: each route answers with an example of what its OpenAPI document says."""

import json
import re
import threading
from collections.abc import Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from app.admin.rest.application import admin_document

QUIET: dict[str, Any] = {"next": None, "problems": []}
"""Members that say that there is nothing more, and nothing wrong."""

ENDED = {"completed", "succeeded"}
"""States in which a command asks no more."""

EXAMPLES = {
    "date-time": "2026-01-01T00:00:00Z",
    "string": "x",
    "integer": 0,
    "number": 0.0,
    "boolean": False,
    "null": None,
}

Schema = Mapping[str, Any]


class FakeAdmin:
    """Answers every request and keeps its raw target. `close` ends it."""

    def __init__(self) -> None:
        targets: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                targets.append(f"{self.command} {self.path}")
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.dumps(answer_to(self.command, urlsplit(self.path).path)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, format: str, *args: object) -> None:
                """A test's output is no log."""

        self.targets = targets
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def answer_to(method: str, path: str) -> Any:  # noqa: ANN401 - JSON
    """The answer of the route to a request that is done; of a path that no route has the problem 404."""
    for route, operations in _document()["paths"].items():
        if method.lower() in operations and re.fullmatch(re.sub(r"\{\w+\}", "[^/]*", route), path):
            responses = operations[method.lower()]["responses"]
            done = next(response for status, response in responses.items() if status.startswith("2"))
            content = done.get("content", {}).get("application/json")
            return None if content is None else _example(content["schema"])
    return {"title": "Not Found", "status": 404, "detail": f"no route {method} {path}"}


_document = cache(admin_document)


def _example(schema: Schema) -> Any:  # noqa: ANN401 - JSON
    """A value of a schema: an object with all of its members, a list of one."""
    if "$ref" in schema:
        return _example(_document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    for kind in ("anyOf", "oneOf", "allOf"):
        if kind in schema:
            return _example(schema[kind][0])
    if values := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return next((value for value in values if value in ENDED), values[0])
    if schema.get("type") == "array":
        return [_example(item) for item in schema.get("prefixItems") or [schema["items"]]]
    for named in (schema.get("format"), schema.get("type")):
        if named in EXAMPLES:
            return schema.get("minimum", EXAMPLES[named])
    members = {name: _example(member) for name, member in schema.get("properties", {}).items()}
    members |= {name: EXAMPLES["date-time"] for name in members if name.rpartition("_")[2] in {"at", "until"}}
    return members | {name: QUIET[name] for name in QUIET if not isinstance(members.get(name, {}), dict)}
