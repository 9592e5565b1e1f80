"""How exactly a worker keeps a drain rate, counted where the requests arrive."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks import stores, table
from tests.benchmarks.backlog import Backlog
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import Cores, pin
from tests.benchmarks.progress import log_progress
from tests.benchmarks.running import USERS
from tests.benchmarks.samples import within, worst_window

RATES_PER_S = (100, 2_000)
WITHIN = 0.99
"""The smallest accepted share of what the rate permits."""

BEGINS_WITHIN_S = 30.0


@dataclass(frozen=True)
class RateAccuracy:
    """Arrivals of one flow: in the whole time, and in the fullest second."""

    per_s: int
    total: int
    worst_second: int


async def measure(backlog: Backlog, cores: Cores, per_s: int, plan: Plan) -> RateAccuracy:
    """Drain one flow at this rate, with a burst of 1, by a worker that does nothing else."""
    system, app_server = backlog.system, backlog.app_server
    drain = {"limit": per_s, "window_seconds": 1}
    rule_id = await backlog.paused_rule(drain)
    await backlog.fill(rule_id, int(per_s * (plan.accuracy_s + 2)), USERS[:1])
    app_server.forget_times()
    worker = system.worker(PENSTOCK_UPSTREAMS=app_server.timed_url)
    await system.ready(worker)
    pin(worker.process.pid, cores.server)
    await backlog.resume(rule_id, drain)
    # All jobs must be gone, because jobs left over would be drained during the next measurement.
    async with asyncio.timeout(BEGINS_WITHIN_S + 2 * plan.accuracy_s):
        while await stores.jobs_waiting(backlog.queue):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    worker.end()
    system.parts.remove(worker)
    times_s = app_server.times_s()
    kept = RateAccuracy(per_s, within(times_s, plan.accuracy_s), worst_window(times_s, 1.0))
    log_progress(f"{kept}")
    return kept


def show(found: Sequence[RateAccuracy], plan: Plan) -> None:
    """Print the results. A flow may send what the rate permits and one job at once; it must send 99 % of that."""
    rows = []
    for kept in found:
        permitted = kept.per_s * plan.accuracy_s
        met = WITHIN * permitted <= kept.total <= permitted + 1
        total = f"{kept.total:,} of {permitted:,}"
        rows.append([f"{kept.per_s:,}/s", total, f"{kept.worst_second:,}", "met" if met else "missed"])
    head = ("drain rate", f"arrived in {plan.accuracy_s} s", "fullest second", "within 1 %, never above")
    table.show_table("Accuracy: one flow, burst 1", head, rows)
