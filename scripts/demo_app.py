"""A small app server to try Penstock with: answers everything with what it saw.

    python scripts/demo_app.py --port 9000 --penstock http://127.0.0.1:8080

With `--penstock`, its edge's address, it verifies `Penstock-Identity`, as your app servers should, and says who called.
`?status=503`, `?delay_ms=200` and `?size=1000` play a trouble; `GET /_demo/arrivals` lists what arrived, and when;
`DELETE /_demo/arrivals` forgets it.
"""

import argparse
import asyncio
import time
from collections import deque
from typing import Any

import aiohttp
import jwt
from aiohttp import web

CACHE_SIZE = 100_000
SHOWN_BODY = 200
KEYS_PAUSE_S = 10.0


class Callers:
    """Says who called, from the token that Penstock signed: its keys are asked for once, and for a new key's name."""

    def __init__(self, penstock: str) -> None:
        self._url = f"{penstock.rstrip('/')}/_penstock/jwks.json"
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked_at_s = -KEYS_PAUSE_S

    async def caller(self, token: str) -> dict[str, str]:
        """The caller's `sub` and issuer; raises jwt.PyJWTError where the token is not Penstock's."""
        kid = jwt.get_unverified_header(token).get("kid", "")
        if kid not in self._keys:
            await self._ask()
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

    async def _ask(self) -> None:
        if time.monotonic() - self._asked_at_s < KEYS_PAUSE_S:
            return
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(self._url) as response:
            found = jwt.PyJWKSet.from_dict(await response.json())
        self._keys = {str(key.key_id): key for key in found.keys}
        self._asked_at_s = time.monotonic()


def build(callers: Callers | None = None) -> web.Application:
    """The application. Without `callers` it believes nobody."""
    arrivals: deque[dict[str, Any]] = deque(maxlen=CACHE_SIZE)
    count = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        arrival = {
            "number": count,
            "monotonic_s": time.monotonic(),
            "time": time.time(),
            "method": request.method,
            "target": request.raw_path,
            "job_id": request.headers.get("Penstock-Job-Id"),
        }
        arrivals.append(arrival)
        try:
            caller = await _caller(request, callers)
        except (jwt.PyJWTError, aiohttp.ClientError, TimeoutError) as error:
            return web.json_response({"error": f"Penstock-Identity: {error}"}, status=401)
        body = await request.read()
        arrival["body"] = body[:SHOWN_BODY].decode("utf-8", "replace")
        if delay_ms := request.query.get("delay_ms", ""):
            await asyncio.sleep(float(delay_ms) / 1000)
        seen = {name: value for name, value in request.headers.items() if name.lower().startswith(("penstock-", "x-"))}
        fields = {
            "number": arrival["number"],
            "method": request.method,
            "target": request.raw_path,
            "body_bytes": len(body),
            "caller": caller,
        }
        padding = {"padding": "x" * int(size)} if (size := request.query.get("size")) else {}
        return web.json_response({**fields, "headers": seen, **padding}, status=int(request.query.get("status", "200")))

    async def listed(_: web.Request) -> web.Response:
        return web.json_response(list(arrivals))

    async def forget(_: web.Request) -> web.Response:
        arrivals.clear()
        return web.Response(status=204)

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application(client_max_size=1 << 30)
    app.add_routes([web.get("/_demo/arrivals", listed), web.delete("/_demo/arrivals", forget)])
    app.router.add_get("/_demo/healthz", healthz)
    app.router.add_route("*", "/{rest:.*}", answer)
    return app


async def _caller(request: web.Request, callers: Callers | None) -> dict[str, str] | None:
    """None for the anonymous; two headers are as good as none that is true."""
    tokens = request.headers.getall("Penstock-Identity", [])
    if callers is None or not tokens:
        return None
    if len(tokens) > 1:
        raise jwt.InvalidTokenError("there are two")
    return await callers.caller(tokens[0])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A small app server to try Penstock with.")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--penstock", metavar="URL", help="where its edge listens, to verify who calls")
    options = parser.parse_args()
    app = build(Callers(options.penstock) if options.penstock else None)
    web.run_app(app, host="127.0.0.1", port=options.port, print=None, access_log=None)
