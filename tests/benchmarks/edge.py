"""The edge compared with other servers: what is measured, and the response that each must give."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import jwt
from redis.asyncio import Redis

from app.clients import queue_redis
from app.settings import Settings
from tests.benchmarks import nginx, stores
from tests.benchmarks.baselines import running as baselines
from tests.benchmarks.errors import WrongAnswer, require
from tests.benchmarks.load import ExpectedResponse, write_requests
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import Cores, pin
from tests.benchmarks.rounds import Measure, in_rounds
from tests.benchmarks.running import (
    BODY,
    NEVER_THE_BOUND,
    USED_UP_AT_ONCE,
    USERS,
    deferring,
    penstock,
    put_user_rule,
    spend_the_first,
)
from tests.benchmarks.samples import Row, Sample, TargetCheck, difference, ratio
from tests.benchmarks.table import show_rates, show_targets
from tests.benchmarks.wrk_row import WrkRow
from tests.support.stores import emptied
from tests.support.system import System

RATELIMIT = ("ratelimit", "ratelimit-policy")
ALLOWED = ExpectedResponse(200, nginx.BODY, RATELIMIT)
REJECTED = ExpectedResponse(429, "quota-exceeded", (*RATELIMIT, "retry-after"))
SLOWAPI_REJECTED = ExpectedResponse(429, "Rate limit")
DEFERRED = ExpectedResponse(202, '"status":"queued"', (*RATELIMIT, "retry-after", "location", "operation-location"))

ENVOY_OVER_NOTHING = 73 / 28
"""CPU of a decision of envoyproxy/ratelimit divided by that of uvicorn doing nothing, as measured once (README.md)."""


async def bench(place: Path, cores: Cores, plan: Plan) -> None:
    """Start everything, measure in rounds, and print the tables."""
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(stores.all_stores(place))
        app_server = stack.enter_context(nginx.app_server(place / "app-server"))
        system = await stack.enter_async_context(penstock(settings, place / "penstock", app_server.url))
        await put_user_rule(system, "reject", **USED_UP_AT_ONCE)
        await put_user_rule(system, "defer", **deferring(NEVER_THE_BOUND))
        limited = stack.enter_context(nginx.limiter(place / "limiter", app_server.url))
        slowapi = stack.enter_context(baselines.slowapi(settings.cache_redis_url))
        nothing = stack.enter_context(baselines.nothing())
        arq_redis, _ = await stack.enter_async_context(stores.cache_only(place, "arq"))
        queue = await stack.enter_async_context(queue_redis(settings))
        edge = (next(part for part in system.parts if part.role == "edge").process.pid, system.url)
        for pid, url in (edge, limited, slowapi, nothing):
            await nginx.answering(url)
            pin(pid, cores.server)
        tokens = [system.auth(user) for user in USERS]
        for url in (f"{system.url}/reject", f"{system.url}/defer", f"{slowapi[1]}/reject"):
            await spend_the_first(system, url, tokens)
        await require_identity(system)

        def row(name: str, whom: tuple[int, str], path: str, expected: ExpectedResponse, passed_on: bool) -> WrkRow:
            url, file = f"{whom[1]}/{path}", place / f"{name}.requests"
            write_requests(file, url, tokens)
            return WrkRow(url, whom[0], file, expected, partial(app_server.hits, system.http), passed_on)

        nginx_answer = ExpectedResponse(200, nginx.BODY)
        allowed = row("edge-allowed", edge, "allowed", ALLOWED, True)
        bare = row("app-server", (app_server.pid, app_server.url), "allowed", nginx_answer, True)
        deferred = row("edge-defer", edge, "defer", DEFERRED, True)
        deferred.hits = partial(stores.jobs_waiting, queue)  # they become jobs, and reach no app server
        write_requests(deferred.requests, deferred.url, tokens, "POST", BODY)
        measures: dict[str, Measure] = {
            "uvicorn, doing nothing": row("nothing", nothing, "allowed", ExpectedResponse(200, "nothing"), False).run,
            "nginx limit_req + proxy": row("nginx", limited, "allowed", nginx_answer, True).run,
            "edge: allowed and forwarded": allowed.run,
            "slowapi on FastAPI: allowed, decision only": row(
                "slowapi", slowapi, "allowed", ExpectedResponse(200, "allowed"), False
            ).run,
            "edge: 429": row("edge-reject", edge, "reject", REJECTED, False).run,
            "slowapi on FastAPI: 429": row(
                "slowapi-429", slowapi, "reject", ExpectedResponse(429, "Rate limit"), False
            ).run,
            "edge: 202": partial(defer, deferred, settings),
            "arq: enqueue": partial(enqueue_with_arq, arq_redis, cores),
            "app server alone, 1 connection": partial(bare.run, connections=1),
            "edge: allowed, 1 connection": partial(allowed.run, connections=1),
        }
        rows = await in_rounds(measures, plan)
        await require_counters(system)
    show_rates(f"Edge: 32 connections (202: 64), server on one core, median of {plan.rounds} rounds", "requests", rows)
    show_targets(target_checks(rows))


def target_checks(rows: Sequence[Row]) -> list[TargetCheck]:
    """The targets of the edge, in the order of the rows of `bench`."""
    nothing, limited, allowed, slowapi, rejected, slowapi_429, deferred, arq, bare_1, edge_1 = rows
    return [
        TargetCheck("edge forwarding / slowapi only deciding", ratio(allowed, slowapi), 7),
        TargetCheck("edge forwarding / nginx limit_req + proxy", ratio(allowed, limited), 0.33),
        TargetCheck(
            "CPU of edge forwarding / of uvicorn doing nothing (envoyproxy/ratelimit deciding: 2.6)",
            ratio(allowed, nothing, "cpu_us"),
            ENVOY_OVER_NOTHING,
            at_least=False,
        ),
        TargetCheck("edge 429 / slowapi 429", ratio(rejected, slowapi_429), 8),
        TargetCheck("edge 429 from its denial cache / uvicorn doing nothing", ratio(rejected, nothing), 0.8),
        TargetCheck("edge 202 / edge forwarding", ratio(deferred, allowed), 0.6),
        TargetCheck("edge 202 / arq enqueue", ratio(deferred, arq), 5),
        TargetCheck("latency that the edge adds, 1 connection", difference(edge_1, bare_1, "p50_us"), 400, False, "us"),
    ]


async def defer(row: WrkRow, settings: Settings, plan: Plan) -> Sample:
    """Measure deferring, and empty the queue for the next round."""
    sample = await row.run(plan, connections=64)
    emptied(settings.queue_redis_url)
    return sample


async def enqueue_with_arq(redis_url: str, cores: Cores, plan: Plan) -> Sample:
    """Measure arq's own client: 64 jobs at once, to a Redis that writes nothing to disk."""
    emptied(redis_url)
    found = await baselines.arq(cores.server, "enqueue", redis_url, plan.seconds, 64)
    async with Redis.from_url(redis_url) as redis:
        jobs = await redis.zcard("arq:queue")
    require(jobs == found["jobs"], f"arq enqueued {found['jobs']} jobs, {jobs} are there")
    return Sample(found["jobs"] / found["seconds"], found["cpu_s"] / found["jobs"] * 1e6)


async def require_identity(system: System) -> None:
    """Raise WrongAnswer unless the app server gets the caller's identity, signed by this edge."""
    token = (await system.request("GET", "/identity", USERS[3])).body
    keys = jwt.PyJWKSet.from_dict((await system.request("GET", "/_penstock/jwks.json")).json())
    try:
        claims = jwt.decode(token, keys.keys[0], algorithms=["EdDSA"], options={"verify_aud": False})
    except jwt.InvalidTokenError as error:
        raise WrongAnswer(f"Penstock-Identity: {error}") from error
    require(claims["sub"] == USERS[3], f"Penstock-Identity names {claims['sub']}, not {USERS[3]}")


async def require_counters(system: System) -> None:
    """Raise WrongAnswer if a request was decided without the counters, which would be faster."""
    edge = next(part for part in system.parts if part.role == "edge")
    async with system.http.get(f"{edge.ops_url}/metrics") as response:
        lines = (await response.text()).splitlines()
    metric = "penstock_without_counters_total"
    require(f"# TYPE {metric} counter" in lines, f"the edge has no metric {metric}")
    counts = [line for line in lines if line.startswith(metric)]  # one for each reason that there was
    require(all(float(line.split()[1]) == 0 for line in counts), f"without counters: {counts}")
