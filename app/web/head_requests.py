"""HEAD is answered wherever GET is: with the same headers, and without the body (RFC 9110, 9.3.2)."""

from starlette.types import ASGIApp, Receive, Scope, Send

IS_HEAD = "penstock.is_head"
"""Set in the scope of a request whose method is HEAD, which routes see as GET."""


class HeadAsGetMiddleware:
    """ASGI middleware that gives HEAD to the routes of GET; the server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope["method"], scope[IS_HEAD] = "GET", True
        await self._app(scope, receive, send)
