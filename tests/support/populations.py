"""Queues that are filled job by job, and by copying one job, to be compared."""

from collections.abc import AsyncIterator, Awaitable, Callable

from tests.benchmarks import queue_steps
from tests.benchmarks.population import Population

Bring = Callable[[Population], Awaitable[str]]
"""Brings one job into a state, and returns its id."""


async def filled(population: Population, bring: Bring, jobs: int, *, in_flows: bool) -> AsyncIterator[bool]:
    """Fill the queue with so many jobs, and then anew with copies of one; yields whether these are copies."""
    for copied in (False, True):
        await population.begin(queue_steps.user_rule(), jobs if in_flows else 1)
        if copied:
            await population.multiply(await bring(population), jobs, in_flows=in_flows)
        else:
            for _ in range(jobs):
                await bring(population)
        yield copied
