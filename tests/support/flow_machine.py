"""What stateful tests of flows have in common: an event loop and clients of a real Redis."""

import asyncio
from collections.abc import Awaitable, Sequence
from itertools import cycle
from typing import TypeVar, cast

from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from app.clients import queue_redis, queue_scripts
from app.queue import keys
from app.queue.flows import Flows
from app.queue.records import Records
from app.settings import Settings
from tests.support.examples import scaled

T = TypeVar("T")

PREFIX = keys.prefix(0)


class Choices:
    """What a step decides, from numbers that were drawn before it: what Redis does can't change what is drawn."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = cycle(numbers)

    def one_of(self, options: Sequence[T]) -> T:
        return options[next(self._numbers) % len(options)]

    def up_to(self, most: int) -> int:
        """At least 1."""
        return self.one_of(range(1, most + 1))

    def shuffled(self, items: Sequence[T]) -> list[T]:
        left, chosen = list(items), []
        while left:
            chosen.append(left.pop(next(self._numbers) % len(left)))
        return chosen


CHOICES = st.lists(st.integers(0, 2**16), min_size=20, max_size=20).map(Choices)


class FlowMachine(RuleBasedStateMachine):
    """The flows of an emptied queue Redis, from the side of edges, workers and clients."""

    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self.run(self._connect())

    async def _connect(self) -> None:
        self.redis = queue_redis(self.settings)
        self.scripts = queue_scripts(self.settings)
        await self.redis.flushall()
        self.flows = Flows(self.redis, self.scripts, self.settings)
        self.records = Records(self.redis, self.scripts, self.settings)
        await self.flows.prepare()

    def run(self, awaitable: Awaitable[T]) -> T:
        """Await something on the machine's own event loop."""

        async def awaited() -> T:
            return await awaitable

        return self._runner.run(awaited())

    def teardown(self) -> None:
        try:
            self.end_all()
        finally:
            self.run(self._close())
            self._runner.close()

    def end_all(self) -> None:
        """Bring every job to its end, and check what is left."""

    async def names(self, pattern: str) -> list[str]:
        """The keys of the partition that match, without its prefix."""
        found = cast("list[bytes]", await self.redis.keys(PREFIX.replace("{", r"\{") + pattern))
        return [key.decode().removeprefix(PREFIX) for key in found]

    async def members(self, name: str) -> list[str]:
        """The members of a sorted set, the first ones first."""
        return [member.decode() for member in cast("list[bytes]", await self.redis.zrange(PREFIX + name, 0, -1))]

    async def _close(self) -> None:
        await self.scripts.aclose()
        await self.redis.aclose()


def run_machine(machine: type[FlowMachine], settings: Settings, examples: int, steps: int) -> None:
    """Run a machine on these stores, with `examples` as the profile scales them.

    Shrinking is left out: each step goes to Redis, and it would take minutes.
    """
    run_state_machine_as_test(
        type(machine.__name__, (machine,), {"settings": settings}),
        settings=hypothesis_settings(
            max_examples=scaled(examples),
            stateful_step_count=steps,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )
