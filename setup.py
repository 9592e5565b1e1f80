"""The build. With PENSTOCK_COMPILE=1, mypyc compiles the hot path; else all of it stays plain Python."""

import os

from setuptools import Extension, setup

HOT = [
    "app/breaker.py",
    "app/decision.py",
    "app/edge/addresses.py",
    "app/edge/deferral.py",
    "app/edge/denials.py",
    "app/edge/gateway.py",
    "app/edge/headers.py",
    "app/edge/identity.py",
    "app/edge/jobs_view.py",
    "app/edge/judging.py",
    "app/edge/metrics.py",
    "app/edge/refusal.py",
    "app/edge/request.py",
    "app/headers.py",
    "app/histogram.py",
    "app/http1/client/connection.py",
    "app/http1/client/pool.py",
    "app/http1/client/request.py",
    "app/http1/client/response.py",
    "app/http1/server/connection.py",
    "app/http1/server/exchange.py",
    "app/http1/server/head.py",
    "app/identity_token.py",
    "app/jobs/model.py",
    "app/limiter/policy.py",
    "app/limiter/redis_limiter.py",
    "app/lua.py",
    "app/paths.py",
    "app/problems.py",
    "app/queue/encoding.py",
    "app/queue/envelope.py",
    "app/queue/flows.py",
    "app/queue/keys.py",
    "app/queue/model.py",
    "app/recent.py",
    "app/redis_wire/connection.py",
    "app/redis_wire/node.py",
    "app/redis_wire/resp.py",
    "app/rules/cache.py",
    "app/rules/match.py",
    "app/upstream.py",
    "consumers/delivery.py",
    "consumers/draining.py",
    "consumers/in_flight.py",
    "consumers/lead.py",
    "consumers/pacing.py",
    "consumers/retry.py",
    "consumers/settling.py",
    "consumers/window.py",
]


def extensions() -> list[Extension]:
    """Needs mypy, a C compiler, and whatever Penstock imports: it is a part of the types."""
    if os.environ.get("PENSTOCK_COMPILE") != "1":
        return []
    from mypyc.build import mypycify  # noqa: PLC0415 - not there for who compiles nothing

    return mypycify(HOT, opt_level="2", debug_level="0")


setup(ext_modules=extensions())
