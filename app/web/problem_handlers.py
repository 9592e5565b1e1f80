"""Turns errors into problem details in both FastAPI applications."""

from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import PenstockError, Unavailable
from app.web.problems import Reply, add_own_headers, error_reply, problem
from app.web.validation import problem_text

OnUnavailable = Callable[[Unavailable], None]


def add_problem_handlers(application: FastAPI, on_unavailable: OnUnavailable | None = None) -> None:
    """Make every error that a route can raise a problem document. `on_unavailable` is told of each that becomes 503."""

    async def on_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, PenstockError), "the handler is registered for this class"
        if on_unavailable is not None and isinstance(error, Unavailable):
            on_unavailable(error)
        return response_of(error_reply(error))

    application.add_exception_handler(PenstockError, on_error)
    application.add_exception_handler(HTTPException, _on_http_error)
    application.add_exception_handler(RequestValidationError, _on_invalid)
    application.add_exception_handler(Exception, _on_bug)


class OwnHeadersMiddleware:
    """ASGI middleware that adds the headers that all responses of Penstock itself have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = add_own_headers(message["headers"])
            await send(message)

        await self._app(scope, receive, send_with_headers)


def response_of(reply: Reply) -> Response:
    """Convert a reply to a response of Starlette."""
    response = Response(reply.body, reply.status)
    response.raw_headers = list(reply.headers)
    return response


async def _on_bug(_: Request, error: Exception) -> Response:
    """The server logs the error; the client need not know it."""
    return response_of(problem(500, "An internal error occurred; Penstock's log has the details."))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "the handler is registered for this class"
    headers = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
    if (
        error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    ):  # the router knows only the methods of one of the routes of this path
        headers = [(b"allow", ", ".join(sorted(_methods(request))).encode())]
    return response_of(problem(error.status_code, str(error.detail), headers))


def _methods(request: Request) -> set[str]:
    """The documented methods of the request's path. A path without parameters takes precedence over one with some."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    paths: dict[str, dict[str, object]] = request.app.openapi()["paths"]
    templates = [path] if path in paths else [template for template in paths if _matches(path, template)]
    methods = {method.upper() for template in templates for method in paths[template]} or {"GET"}
    return methods | {"HEAD"} if "GET" in methods else methods


def _matches(path: str, template: str) -> bool:
    segments, names = path.split("/"), template.split("/")
    return len(segments) == len(names) and all(
        name.startswith("{") or name == segment for name, segment in zip(names, segments, strict=True)
    )


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "the handler is registered for this class"
    return response_of(problem(422, problem_text(error.errors()[0])))
