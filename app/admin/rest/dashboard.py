"""The dashboard: every path that is no route of the API. Its files, or the page, which shows what the path names."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.admin.composition import AdminParts
from app.admin.dashboard.built_files import ASSETS, BuiltFile
from app.admin.dashboard.waiting_page import RELOAD_AFTER_S, STYLE_SOURCE
from app.admin.rest.base_path import route_path
from app.errors import MethodNotAllowed, NotFound

NO_PAGES = frozenset(
    {"v1", "docs", "openapi.json", "assets", "metrics", "healthz", "readyz", "_penstock", ".well-known"}
)
"""The first segments of paths that no page has: what is not found below them is not found."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src {styles}; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
_GUARDED = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
GUARDED = {"Content-Security-Policy": _POLICY.format(styles="'self'"), **_GUARDED}
WAITING = {"Content-Security-Policy": _POLICY.format(styles=STYLE_SOURCE), **_GUARDED}
IMMUTABLE = "public, max-age=31536000, immutable"
CODINGS = ("br", "gzip")
"""In the order of preference."""


async def dashboard(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI application that answers what no route does. Raises MethodNotAllowed, NotFound."""
    if scope["type"] != "http":
        raise HTTPException(404)
    request = Request(scope, receive)
    answer = await _answer(request, route_path(scope).removeprefix("/"), request.app.state.parts)
    await answer(scope, receive, send)


async def _answer(request: Request, path: str, parts: AdminParts) -> Response:
    built = await parts.dashboard.current()
    file = built.files.get(path) if built is not None else None
    if file is None and path.partition("/")[0] in NO_PAGES:
        raise NotFound("There is nothing at this address.")
    if request.method != "GET":  # as HEAD is seen, too
        raise MethodNotAllowed("Only GET and HEAD are allowed here.", allow="GET, HEAD")
    if built is None:
        page, headers = await parts.dashboard.waiting_page(), WAITING | {"Retry-After": str(RELOAD_AFTER_S)}
        return Response(page, 503, headers, media_type="text/html")
    if file is None:
        return file_response(built.index, request.headers, "no-cache")
    return file_response(file, request.headers, IMMUTABLE if path.startswith(ASSETS) else "no-cache")


def file_response(file: BuiltFile, asked: Mapping[str, str], cache_control: str) -> Response:
    """Return a file as the client takes it: compressed, or 304 if the client has it already."""
    headers = GUARDED | {"Cache-Control": cache_control, "ETag": file.etag, "Vary": "Accept-Encoding"}
    if file.etag in _listed(asked.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    accepted = accepted_codings(asked.get("accept-encoding", ""))
    coding = next((one for one in CODINGS if one in accepted and one in file.encoded), None)
    if coding is None:
        return Response(file.content, headers=headers, media_type=file.media_type)
    return Response(file.encoded[coding], headers=headers | {"Content-Encoding": coding}, media_type=file.media_type)


def accepted_codings(accept_encoding: str) -> set[str]:
    """Return the content codings that a client names and does not refuse (RFC 9110, 12.5.3)."""
    found = set()
    for member in accept_encoding.lower().split(","):
        coding, _, parameters = member.partition(";")
        weight = parameters.replace(" ", "").removeprefix("q=")
        if not parameters or weight.strip("0.") != "":
            found.add(coding.strip())
    return found


def _listed(etags: str) -> set[str]:
    """The entity tags of an `If-None-Match`; a weak one is as good here (RFC 9110, 13.1.2)."""
    return {tag.strip().removeprefix("W/") for tag in etags.split(",")}
