"""The build. With PENSTOCK_COMPILE=1, mypyc compiles the hot path; without it everything is plain Python."""

import os

from setuptools import Extension, setup

HOT = [
    "app/decision.py",
    "app/edge/deferral.py",
    "app/edge/denial_cache.py",
    "app/edge/gateway.py",
    "app/edge/job_renderer.py",
    "app/edge/limit_checker.py",
    "app/edge/metrics.py",
    "app/edge/rate_limit_headers.py",
    "app/edge/rejection.py",
    "app/edge/request.py",
    "app/edge/rule_decisions.py",
    "app/http1/client/connection.py",
    "app/http1/client/pool.py",
    "app/http1/client/request.py",
    "app/http1/client/response.py",
    "app/http1/server/connection.py",
    "app/http1/server/deadlines.py",
    "app/http1/server/exchange.py",
    "app/http1/server/head.py",
    "app/http1/server/interface.py",
    "app/http1/server/origin.py",
    "app/http1/server/pipeline.py",
    "app/http1/server/request_body.py",
    "app/http1/server/request_line.py",
    "app/http1/server/request_parser.py",
    "app/http1/server/response_writer.py",
    "app/http1/server/state.py",
    "app/identity/addresses.py",
    "app/identity/authentication.py",
    "app/identity/identity_token.py",
    "app/jobs/model.py",
    "app/limiter/answer_cost.py",
    "app/limiter/policy.py",
    "app/limiter/redis_limiter.py",
    "app/limiter/script_calls.py",
    "app/process/histogram.py",
    "app/process/lru_cache.py",
    "app/queue/batching.py",
    "app/queue/encoding.py",
    "app/queue/envelope.py",
    "app/queue/flow_leases.py",
    "app/queue/flow_name.py",
    "app/queue/flow_outcomes.py",
    "app/queue/flow_parameters.py",
    "app/queue/flows.py",
    "app/queue/keys.py",
    "app/queue/model.py",
    "app/queue/records.py",
    "app/redis_wire/connection.py",
    "app/redis_wire/node.py",
    "app/redis_wire/resp.py",
    "app/redis_wire/scripts.py",
    "app/rules/active.py",
    "app/rules/cache.py",
    "app/rules/cost.py",
    "app/rules/header_values.py",
    "app/rules/match.py",
    "app/traffic/samples.py",
    "app/upstream/breaker.py",
    "app/upstream/response.py",
    "app/upstream/server.py",
    "app/upstream/server_breaker.py",
    "app/upstream/upstream.py",
    "app/web/cors.py",
    "app/web/header_numbers.py",
    "app/web/headers.py",
    "app/web/paths.py",
    "app/web/problems.py",
    "app/web/retry_after.py",
    "consumers/answer_breaker.py",
    "consumers/charges.py",
    "consumers/concurrency_limit.py",
    "consumers/delivery.py",
    "consumers/draining.py",
    "consumers/in_flight.py",
    "consumers/lead_time.py",
    "consumers/pacing.py",
    "consumers/retry.py",
    "consumers/send_gate.py",
    "consumers/sender.py",
    "consumers/served_ring.py",
    "consumers/settling.py",
    "consumers/slots.py",
    "consumers/turn_taking.py",
]


def extensions() -> list[Extension]:
    """Return the compiled modules. Compiling needs mypy, a C compiler, and everything that Penstock imports."""
    if os.environ.get("PENSTOCK_COMPILE") != "1":
        return []
    from mypyc.build import mypycify  # noqa: PLC0415 - a plain build does not have mypyc

    return mypycify(HOT, opt_level="2", debug_level="0")


setup(ext_modules=extensions())
