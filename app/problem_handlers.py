"""Errors as problem details in both FastAPI applications."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app.errors import PenstockError
from app.problems import Reply, of_error, problem


def add_problem_handlers(application: FastAPI) -> None:
    """Every error that a route can raise becomes a problem document."""
    application.add_exception_handler(PenstockError, _on_error)
    application.add_exception_handler(HTTPException, _on_http_error)
    application.add_exception_handler(RequestValidationError, _on_invalid)


def response_of(reply: Reply) -> Response:
    """A reply of ours as Starlette sends it."""
    response = Response(reply.body, reply.status)
    response.raw_headers = list(reply.headers)
    return response


async def _on_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, PenstockError), "registered for these alone"
    return response_of(of_error(error))


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for these alone"
    headers = [(name.encode(), value.encode()) for name, value in (error.headers or {}).items()]
    return response_of(problem(error.status_code, str(error.detail), headers))


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for these alone"
    first = error.errors()[0]
    return response_of(problem(422, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"))
