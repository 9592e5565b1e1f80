"""How much callers who poll as fast as they may slow down the deferrals and forwards of others."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic

from app.clients import queue_redis, queue_scripts
from app.edge.routes.jobs import JOBS_A_POLL
from app.jobs.model import StoredRequest, owner_of
from app.limiter.keys import descriptor
from app.queue.flows import Flows
from app.queue.model import Deferral, Enqueued, FrozenCharge
from app.rules.active import ActiveRule
from app.rules.model import parse_rule
from app.settings import Settings
from tests.benchmarks import nginx, stores
from tests.benchmarks.errors import require
from tests.benchmarks.plan import Plan
from tests.benchmarks.poller import is_polled
from tests.benchmarks.probe import ProbeRequest, ProbeResult, probe
from tests.benchmarks.processes import Cores, pin
from tests.benchmarks.progress import log_progress
from tests.benchmarks.running import (
    BODY,
    NEVER_THE_BOUND,
    USERS,
    deferring,
    penstock,
    put_user_rule,
    spend_the_first,
)
from tests.benchmarks.samples import TargetCheck, percentile
from tests.benchmarks.table import show_table, show_targets
from tests.support.processes import ROOT
from tests.support.system import System

POLLERS = [f"poller-{number}" for number in range(3)]
POLL_LIMIT_PER_S = 50
POLLED_SHARE = 0.9
"""The share of the poll limit that is used, so that no poll is refused."""

PAGE = 100
PAGES_PER_S = POLL_LIMIT_PER_S * POLLED_SHARE * JOBS_A_POLL / PAGE

PROBES_PER_S = 100
AT_ONCE = 500
BEGINS_AFTER_S = 3.0
"""So long it may take to start the process of the pollers."""

MOST_FACTOR = 1.2


@dataclass(frozen=True)
class PollingEffect:
    """Latencies of one kind of request in ascending order, without and with polling."""

    quiet_s: Sequence[float]
    polled_s: Sequence[float]

    @classmethod
    def of(cls, results: Sequence[ProbeResult]) -> "PollingEffect":
        """Tell the requests of seconds with polling from those of seconds without."""
        quiet_s = sorted(result.latency_s for result in results if not is_polled(result.due_s))
        return cls(quiet_s, sorted(result.latency_s for result in results if is_polled(result.due_s)))

    @property
    def p99_factor(self) -> float:
        """The ratio of the 99th percentiles."""
        return percentile(self.polled_s, 0.99) / percentile(self.quiet_s, 0.99)


async def bench(place: Path, cores: Cores, plan: Plan) -> None:
    """Measure the requests of others with and without polling, in rounds, and print the table."""
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(stores.all_stores(place))
        app_server = stack.enter_context(nginx.app_server(place / "app-server"))
        system = await stack.enter_async_context(
            penstock(settings, place / "penstock", app_server.url, POLL_LIMIT_PER_S)
        )
        pin(next(part for part in system.parts if part.role == "edge").process.pid, cores.server)
        await put_user_rule(system, "defer", **deferring(NEVER_THE_BOUND))
        tokens = [system.auth(user) for user in USERS]
        await spend_the_first(system, f"{system.url}/defer", tokens)
        for poller in POLLERS:
            await fill(settings, poller, plan.polled_jobs)
        probes = {
            "forwarded": [ProbeRequest("GET", f"{system.url}/allowed", token, "", 200) for token in tokens],
            "deferred": [ProbeRequest("POST", f"{system.url}/defer", token, BODY, 202) for token in tokens],
        }
        found: dict[str, list[PollingEffect]] = {name: [] for name in probes}
        answered: list[float] = []
        for number in range(plan.rounds + 1):
            effects, share = await measure(system, probes, 2 * plan.probe_s)
            if number == 0:
                continue  # what is done once is done now
            answered.append(share)
            for name, rows in found.items():
                rows.append(effects[name])
            factors = ", ".join(f"{name} {rows[-1].p99_factor:.2f}" for name, rows in found.items())
            log_progress(
                f"round {number}: p99 with polling / without: {factors}, {answered[-1]:.0%} of the polls answered"
            )
    show(found, answered, plan)


async def fill(settings: Settings, user: str, jobs: int) -> None:
    """Enqueue this many jobs of one caller. They stay because no worker runs."""
    rule = ActiveRule(
        parse_rule({"rule_id": "backlog", "key_type": "user", "key_value": "*", **deferring(NEVER_THE_BOUND)}), 1
    )
    whom = descriptor("user", user)
    request = StoredRequest("POST", b"/work", [(b"content-type", b"text/plain")], BODY.encode())
    it = Deferral(rule, (FrozenCharge("backlog", whom, 1),), owner_of("test", user), request)
    async with queue_redis(settings) as redis:
        scripts = queue_scripts(settings)
        flows = Flows(redis, scripts, settings)
        await flows.prepare()
        for first in range(0, jobs, AT_ONCE):
            answers = await asyncio.gather(*(flows.enqueue(it) for _ in range(min(AT_ONCE, jobs - first))))
            require(all(isinstance(answer, Enqueued) for answer in answers), f"{user}: a job was not accepted")
        await scripts.aclose()


async def measure(
    system: System, probes: dict[str, list[ProbeRequest]], seconds: float
) -> tuple[dict[str, PollingEffect], float]:
    """The effect on each kind of requests, sent at the same time, and the share of polls that were answered."""
    start_s = monotonic() + BEGINS_AFTER_S
    polling = asyncio.create_task(poll(system, start_s, seconds))
    probing = (probe(system.http, some, PROBES_PER_S, start_s, seconds) for some in probes.values())
    found = await asyncio.gather(*probing)
    effects = {name: PollingEffect.of(results) for name, results in zip(probes, found, strict=True)}
    return effects, await polling


async def poll(system: System, start_s: float, seconds: float) -> float:
    """Let every poller list its jobs in half of this time. Returns the share of pages that it got."""
    url = f"{system.url}/_penstock/jobs?limit={PAGE}"
    command = (sys.executable, "-m", "tests.benchmarks.poller", url, str(PAGES_PER_S), str(start_s), str(seconds))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=os.environ, stdin=pipe, stdout=pipe)
    tokens = "\n".join(system.issuer.token(poller) for poller in POLLERS)
    output, _ = await process.communicate(tokens.encode())
    require(process.returncode == 0, f"the pollers ended with {process.returncode}")
    answers: dict[str, int] = json.loads(output)
    require(set(answers) <= {"200", "503"}, f"answers to polls by status: {answers}")
    return answers.get("200", 0) / sum(answers.values())


def show(found: dict[str, list[PollingEffect]], answered: Sequence[float], plan: Plan) -> None:
    """Print medians over the rounds, and the targets."""
    rows = []
    for name, rounds in found.items():
        for share in (0.5, 0.99):
            quiet, polled = (
                median(percentile(times, share) * 1000 for times in some)
                for some in ([each.quiet_s for each in rounds], [each.polled_s for each in rounds])
            )
            rows.append([f"{name}, p{share * 100:.0f}", f"{quiet:.1f} ms", f"{polled:.1f} ms", f"{polled / quiet:.2f}"])
    title = (
        f"Polling: {len(POLLERS)} callers with {plan.polled_jobs:,} jobs each list {PAGES_PER_S} pages a second each"
    )
    show_table(title, ("requests of others", "without", "with", "ratio"), rows)
    target_checks = [
        TargetCheck(f"p99 of others' {name} requests, with polling / without", factor, MOST_FACTOR, at_least=False)
        for name, rounds in found.items()
        for factor in [median(each.p99_factor for each in rounds)]
    ]
    show_targets([*target_checks, TargetCheck("polls that were answered", median(answered) * 100, 100, unit="%")])
