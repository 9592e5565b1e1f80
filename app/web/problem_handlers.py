"""Errors as problem details in both FastAPI applications."""

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import PenstockError
from app.web.problems import Reply, of_error, problem, with_own_headers


def add_problem_handlers(application: FastAPI) -> None:
    """Every error that a route can raise becomes a problem document."""
    application.add_exception_handler(PenstockError, _on_error)
    application.add_exception_handler(HTTPException, _on_http_error)
    application.add_exception_handler(RequestValidationError, _on_invalid)
    application.add_exception_handler(Exception, _on_bug)


class NeverCached:
    """ASGI middleware: whatever the application says, with what all answers of ours have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = with_own_headers(message["headers"])
            await send(message)

        await self._app(scope, receive, sending)


def response_of(reply: Reply) -> Response:
    """A reply of ours as Starlette sends it."""
    response = Response(reply.body, reply.status)
    response.raw_headers = list(reply.headers)
    return response


async def _on_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, PenstockError), "registered for these alone"
    return response_of(of_error(error))


async def _on_bug(_: Request, error: Exception) -> Response:
    """Which is logged by the server, and no business of the client."""
    return response_of(problem(500, "Something is wrong in Penstock; its log says what."))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for these alone"
    headers = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:  # the router names the methods of one route of this path
        headers = [(b"allow", ", ".join(sorted(_methods(request))).encode())]
    return response_of(problem(error.status_code, str(error.detail), headers))


def _methods(request: Request) -> set[str]:
    """All methods that the document has for the request's path; a path without parameters goes before one with."""
    path = request.url.path
    paths: dict[str, dict[str, object]] = request.app.openapi()["paths"]
    templates = [path] if path in paths else [template for template in paths if _is_of(path, template)]
    return {method.upper() for template in templates for method in paths[template]} or {"GET"}


def _is_of(path: str, template: str) -> bool:
    segments, names = path.split("/"), template.split("/")
    return len(segments) == len(names) and all(
        name.startswith("{") or name == segment for name, segment in zip(names, segments, strict=True)
    )


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for these alone"
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return response_of(problem(422, f"{where}: {message}" if where else message))
