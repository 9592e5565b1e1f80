"""Measures everything once per round, so that compared values were measured within the same minute."""

from collections.abc import Awaitable, Callable, Mapping

from tests.benchmarks.plan import Plan
from tests.benchmarks.progress import log_progress
from tests.benchmarks.samples import Row, Sample

Measure = Callable[[Plan], Awaitable[Sample]]


async def in_rounds(measures: Mapping[str, Measure], plan: Plan) -> list[Row]:
    """Run every measurement once per round. Each gives a row, with a sample for each round."""
    samples: dict[str, list[Sample]] = {name: [] for name in measures}
    for number in range(1, plan.rounds + 1):
        for name, measure in measures.items():
            sample = await measure(plan)
            samples[name].append(sample)
            log_progress(f"round {number}: {name}: {sample.per_s:,.0f}/s, {sample.cpu_us:,.0f} us of CPU each")
    return [Row(name, tuple(found)) for name, found in samples.items()]
