"""The path of a reverse proxy, below which the admin process is served."""

from starlette.types import ASGIApp, Receive, Scope, Send


class BasePathMiddleware:
    """ASGI middleware that finds the routes of a request with the base path in its target, and of one without it.

    So it makes no difference whether the proxy takes the path off. Routes see it in either case, as ASGI's `root_path`.
    """

    def __init__(self, app: ASGIApp, base_path: str) -> None:
        self._app = app
        self._base_path = base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        base, path = self._base_path, scope.get("path", "")
        if base and scope["type"] == "http":
            scope["root_path"] = base
            if path != base and not path.startswith(f"{base}/"):
                scope["path"] = base + path
        await self._app(scope, receive, send)


def route_path(scope: Scope) -> str:
    """Return the path of a request below the base path."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"
