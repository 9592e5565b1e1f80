"""A small app server to try Penstock with. It answers every request with what it received.

    python scripts/demo_app.py --port 9000 --penstock http://127.0.0.1:8080

With `--penstock`, the address of an edge, it verifies `Penstock-Identity` as your app servers should, and says who
called. `?status=503`, `?delay_ms=200` and `?size=1000` set the status, a delay and the size of the answer.
`GET /_demo/arrivals` lists the requests that arrived and when; `DELETE /_demo/arrivals` clears the list.
"""

import argparse
import asyncio
import json
import time
from collections import deque
from email.utils import formatdate
from typing import Any

import httpx
import jwt
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

CACHE_SIZE = 100_000
SHOWN_BODY_BYTES = 200
KEYS_PAUSE_S = 10.0
WITHOUT_BODY = frozenset({204, 304})


class Callers:
    """Finds out who called from the token that Penstock signed.

    Penstock's keys are fetched for the first token, and again when a token names an unknown key.
    """

    def __init__(self, penstock: str) -> None:
        self._url = f"{penstock.rstrip('/')}/_penstock/jwks.json"
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at_s = -KEYS_PAUSE_S

    async def caller(self, token: str) -> dict[str, str]:
        """Return the caller's `sub` and issuer. Raises jwt.PyJWTError if Penstock did not sign the token."""
        kid = jwt.get_unverified_header(token).get("kid", "")
        if kid not in self._keys:
            await self._fetch_keys()
        if kid not in self._keys:
            raise jwt.InvalidKeyError("the key is not one of Penstock's")
        claims = jwt.decode(
            token,
            self._keys[kid],
            algorithms=["EdDSA"],
            issuer="penstock",
            audience="app",
            options={"require": ["exp", "iss", "aud", "sub", "orig_iss"]},
        )
        return {"sub": claims["sub"], "iss": claims["orig_iss"]}

    async def _fetch_keys(self) -> None:
        if time.monotonic() - self._fetched_at_s < KEYS_PAUSE_S:
            return
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            found = jwt.PyJWKSet.from_dict((await http.get(self._url)).json())
        self._keys = {str(key.key_id): key for key in found.keys}
        self._fetched_at_s = time.monotonic()


class DemoApp:
    """An ASGI application. Without `callers` it treats every request as anonymous."""

    def __init__(self, callers: Callers | None = None) -> None:
        self._callers = callers
        self._arrivals: deque[dict[str, Any]] = deque(maxlen=CACHE_SIZE)
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Called by the server for each request."""
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        match request.method, request.scope["path"]:
            case _, "/_demo/healthz":
                return _json({"status": "ok"})
            case "GET", "/_demo/arrivals":
                return _json(list(self._arrivals))
            case "DELETE", "/_demo/arrivals":
                self._arrivals.clear()
                return Response(status_code=204)
        return await self._answer(request)

    async def _answer(self, request: Request) -> Response:
        arrival = self._record(request)
        try:
            caller = await self._caller(request)
        except (jwt.PyJWTError, httpx.HTTPError) as error:
            return _json({"error": f"Penstock-Identity: {error}"}, 401)
        body = await request.body()
        arrival["body"] = body[:SHOWN_BODY_BYTES].decode("utf-8", "replace")
        query = request.query_params
        if delay_ms := query.get("delay_ms", ""):
            await asyncio.sleep(float(delay_ms) / 1000)
        fields = {
            "number": arrival["number"],
            "method": request.method,
            "target": arrival["target"],
            "body_bytes": len(body),
            "caller": caller,
            "headers": {n: v for n, v in request.headers.items() if n.startswith(("penstock-", "x-"))},
        }
        if size := query.get("size"):
            fields["padding"] = "x" * int(size)
        return _json(fields, int(query.get("status", "200")))

    def _record(self, request: Request) -> dict[str, Any]:
        self._count += 1
        query = request.scope["query_string"]
        target: bytes = request.scope["raw_path"] + (b"?" + query if query else b"")
        arrival = {
            "number": self._count,
            "monotonic_s": time.monotonic(),
            "time": time.time(),
            "method": request.method,
            "target": target.decode("latin-1"),
            "job_id": request.headers.get("Penstock-Job-Id"),
        }
        self._arrivals.append(arrival)
        return arrival

    async def _caller(self, request: Request) -> dict[str, str] | None:
        """Return None for an anonymous request. A request with two identities is refused."""
        tokens = request.headers.getlist("Penstock-Identity")
        if self._callers is None or not tokens:
            return None
        if len(tokens) > 1:
            raise jwt.InvalidTokenError("there are two")
        return await self._callers.caller(tokens[0])


def _json(content: object, status: int = 200) -> Response:
    headers = {"Content-Type": "application/json; charset=utf-8", "Date": formatdate(usegmt=True), "Server": "demo"}
    return Response("" if status in WITHOUT_BODY else json.dumps(content), status, headers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A small app server to try Penstock with.")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--penstock", metavar="URL", help="the address of an edge, whose keys verify who calls")
    options = parser.parse_args()
    demo = DemoApp(Callers(options.penstock) if options.penstock else None)
    uvicorn.run(
        demo,
        host="127.0.0.1",
        port=options.port,
        lifespan="off",
        access_log=False,
        log_level="warning",
        date_header=False,
        server_header=False,
    )
