"""A small app server to try Penstock with: answers everything with what it saw.

    python scripts/demo_app.py --port 9000

`?status=503`, `?delay_ms=200` and `?size=1000` play a trouble; `GET /_demo/arrivals` lists what arrived, and when;
`DELETE /_demo/arrivals` forgets it.
"""

import argparse
import asyncio
import time
from collections import deque
from typing import Any

from aiohttp import web

REMEMBERED = 100_000
SHOWN_BODY = 200


def build() -> web.Application:
    """The application."""
    arrivals: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A small app server to try Penstock with.")
    parser.add_argument("--port", type=int, default=9000)
    web.run_app(build(), host="127.0.0.1", port=parser.parse_args().port, print=None, access_log=None)
