"""Runs the benchmarks. Start them with scripts/bench, which installs the software that is compared with."""

import argparse
import asyncio
import os
import platform
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import structlog

from tests.benchmarks import cost_situations, decisions, drain, edge, life, polling, scale, search, stores
from tests.benchmarks.baselines.running import own_python
from tests.benchmarks.errors import CannotRun, WrongAnswer
from tests.benchmarks.load import need_wrk
from tests.benchmarks.nginx import need_nginx
from tests.benchmarks.plan import FULL, QUICK, Plan
from tests.benchmarks.processes import Cores, split

BENCHES = {
    "edge": edge.bench,
    "drain": drain.bench,
    "life": life.bench,
    "decisions": decisions.bench,
    "polling": polling.bench,
    "costs": cost_situations.bench,
    "scale": scale.bench,
    "search": search.bench,
}
PLAIN = ("costs", "search")
"""These measure scripts with a connection that works in plain Python only."""

NEEDS = {
    "edge": (need_wrk, need_nginx, own_python),
    "drain": (need_wrk, need_nginx, own_python),
    "polling": (need_nginx,),
}
"""What must be on this machine for a benchmark, besides the stores. Each raises CannotRun."""


def main() -> int:
    arguments = _arguments()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    plan = QUICK if arguments.quick else FULL
    plan = replace(plan, rounds=arguments.rounds or plan.rounds, seconds=arguments.seconds or plan.seconds)
    try:
        for name in arguments.which:
            for need in NEEDS.get(name, ()):
                need()
        cores = split(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores.rest)  # inherited by all children; servers under test are moved
        for name in arguments.which:
            with stores.folder() as place:
                print(f"\n{_machine(place, cores, plan)}\n", flush=True)
                asyncio.run(BENCHES[name](place, cores, plan))
    except CannotRun as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except WrongAnswer as error:
        print(f"bench: no table because of a wrong response: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure Penstock and other software.")
    help_text = f"which benchmarks (default: all but {' and '.join(PLAIN)})"
    parser.add_argument("which", nargs="*", choices=[[], *BENCHES], help=help_text)
    parser.add_argument("--quick", action="store_true", help="small and short: only shows whether the benchmarks work")
    parser.add_argument("--rounds", type=int, help="how often to measure everything (default 5)")
    parser.add_argument("--seconds", type=int, help="the duration of each run of wrk (default 4)")
    arguments = parser.parse_args()
    arguments.which = arguments.which or [name for name in BENCHES if name not in PLAIN]
    return arguments


def _machine(place: Path, cores: Cores, plan: Plan) -> str:
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    name = model.partition(":")[2].strip() or platform.machine()
    hot_path = "compiled" if os.environ.get("PYTHONPATH") else "plain Python"
    return (
        f"{date.today()}, {name}, {len(cores.server | cores.rest)} cores, Linux {platform.release()},"
        f" Python {platform.python_version()}; a synchronous write takes {stores.fsync_ms(place):.2f} ms;"
        f" {plan.rounds} rounds of {plan.seconds} s; the hot path is {hot_path}"
    )


if __name__ == "__main__":
    sys.exit(main())
