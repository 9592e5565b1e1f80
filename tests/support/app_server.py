"""An app server that remembers what arrived, and when: a process of its own, so that no test slows its clock.

    python -m tests.support.app_server PORT [LEDGER]

`?status=N`, `?delay_ms=N`, `?retry_after=N` and `?used=N` (in `X-Tokens-Used`) say how to answer; `?hold=NAME` holds
the answer until `PUT /-/release/NAME`. `GET /-/arrivals` and `DELETE /-/arrivals` read and forget; `PUT /-/status/N`
makes it answer N to everything, `PUT /-/status/0` as asked again. `PUT /-/strict/NAME/N/S` makes it answer 429 to what
arrives below `/NAME/` above N in any window of S seconds, both ends included. A ledger is a file that gets a line of
JSON when a request arrives and another when it has been answered (tests/support/account.py reads it).

Each arrival says when the server last had nothing left to read (`idle_at`). What it reads from several connections
without a pause may have come in any order: a process that a busy machine does not run for a while finds it all at once.
"""

import asyncio
import json
import os
import selectors
import sys
import time
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web


class IdleNotes(selectors.DefaultSelector):
    """Notes when the event loop last had nothing to do and nothing to read."""

    def __init__(self) -> None:
        super().__init__()
        self.idle_at = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        self.idle_at = time.monotonic()
        return super().select(timeout)


class StrictLimit:
    """Whether more than `limit` requests have surely arrived within the window that ends now.

    Each may have come as early as when the server last had nothing to read. Those that a busy machine let it read late
    would else be counted together with the punctual ones that followed.
    """

    def __init__(self, limit: int, window_s: float) -> None:
        self.limit = limit
        self.window_s = window_s
        self._arrived: deque[float] = deque()

    def refuses(self, at: float, idle_at: float) -> bool:
        self._arrived.append(min(idle_at, at))
        while at - self._arrived[0] > self.window_s:
            self._arrived.popleft()
        return self.limit < len(self._arrived)


def build(ledger: Path, notes: IdleNotes) -> web.Application:
    arrivals: list[dict[str, Any]] = []
    forced: list[int] = [0]
    strict: dict[str, StrictLimit] = {}
    released: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
    lines = ledger.open("ab", buffering=0)  # a line is with the kernel once it is written: it outlives a kill
    app = web.Application(client_max_size=64 << 20)

    async def answer(request: web.Request) -> web.Response:
        at = time.monotonic()  # CLOCK_MONOTONIC: the same for all processes of a machine
        arrival = {
            "at": at,
            "clock": time.time(),
            "idle_at": notes.idle_at,
            "method": request.method,
            "target": request.raw_path,
            "job": request.headers.get("Penstock-Job-Id"),
            "attempt": request.headers.get("Penstock-Attempt"),
            "headers": dict(request.headers),
        }
        arrivals.append(arrival)
        limit = strict.get(request.path.strip("/").partition("/")[0])
        refused = limit is not None and limit.refuses(at, notes.idle_at)
        status = 429 if refused else forced[0] or int(request.query.get("status", "200"))
        arrival["status"] = status
        number = len(arrivals)
        key = f"{os.getpid()}-{number}"
        named = {name: arrival[name] for name in ("at", "clock", "idle_at", "method", "target", "job", "attempt")}
        lines.write(as_json({"key": key, "number": number} | named) + b"\n")
        arrival["body"] = (await request.read())[:500].decode("latin-1")
        if delay_ms := request.query.get("delay_ms"):
            await asyncio.sleep(int(delay_ms) / 1000)
        if hold := request.query.get("hold"):
            await released[hold].wait()
        headers = {"X-Number": str(number), "X-Echo": request.raw_path}
        if retry_after := request.query.get("retry_after"):
            headers["Retry-After"] = retry_after
        if used := request.query.get("used"):
            headers["X-Tokens-Used"] = used
        lines.write(as_json({"key": key, "answered": time.monotonic()}) + b"\n")
        return web.Response(status=status, text=f"answer {number}", headers=headers)

    async def read(_: web.Request) -> web.Response:
        return web.Response(body=as_json(arrivals), content_type="application/json")

    async def count(_: web.Request) -> web.Response:
        return web.json_response(len(arrivals))

    async def forget(_: web.Request) -> web.Response:
        arrivals.clear()
        return web.Response(status=204)

    async def force(request: web.Request) -> web.Response:
        forced[0] = int(request.match_info["status"])
        return web.Response(status=204)

    async def release(request: web.Request) -> web.Response:
        released[request.match_info["name"]].set()
        return web.Response(status=204)

    async def limit_strictly(request: web.Request) -> web.Response:
        named = request.match_info
        strict[named["name"]] = StrictLimit(int(named["limit"]), float(named["window_s"]))
        return web.Response(status=204)

    app.add_routes(
        [
            web.get("/-/arrivals", read),
            web.delete("/-/arrivals", forget),
            web.get("/-/count", count),
            web.put("/-/status/{status}", force),
            web.put("/-/release/{name}", release),
            web.put("/-/strict/{name}/{limit}/{window_s}", limit_strictly),
            web.route("*", "/{rest:.*}", answer),
        ]
    )
    return app


def as_json(value: object) -> bytes:
    """Encode a value. Bytes that are no text, such as a header's, are surrogates in Python, which orjson refuses."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()


def main() -> None:
    own_ledger = Path(sys.argv[2] if len(sys.argv) > 2 else os.devnull)
    port, notes = int(sys.argv[1]), IdleNotes()
    loop = asyncio.SelectorEventLoop(notes)
    web.run_app(build(own_ledger, notes), host="127.0.0.1", port=port, print=None, access_log=None, loop=loop)


if __name__ == "__main__":
    main()
