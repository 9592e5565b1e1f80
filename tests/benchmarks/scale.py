"""How cost depends on the number of jobs, flows and rules."""

from pathlib import Path

from tests.benchmarks import queue_scale, rules_scale
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import Cores


async def bench(place: Path, cores: Cores, plan: Plan) -> None:
    """Run the scale benchmarks of the queue and of the rules."""
    await queue_scale.bench(place / "queue-scale", cores, plan)
    await rules_scale.bench(place / "rules-scale", cores, plan)
