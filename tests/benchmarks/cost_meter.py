"""Measures the CPU time that each call of a Lua script takes in Redis."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha1
from importlib.resources import files
from itertools import pairwise
from statistics import median
from typing import Any

from app.errors import QueueUnavailable
from app.redis_wire.address import RedisAddress
from app.redis_wire.connection import FutureReply
from app.redis_wire.node import Node
from app.redis_wire.resp import command
from app.redis_wire.scripts import source

NOISE_US = 200
"""Cheaper calls count as this much in ratios, since a cold cache alone makes a difference there."""

CALIBRATIONS = 50
Call = Callable[[], Awaitable[object]]

_INFO = command("INFO", "cpu")
_USED = re.compile(rb"used_cpu_(?:sys|user):([0-9.]+)")
_SCRIPT = re.compile(rb"\$7\r\nEVALSHA\r\n\$40\r\n([0-9a-f]{40})")


@dataclass(frozen=True)
class Step:
    """One line of the table: the situation, the call, and the script that it ran."""

    situation: str
    action: str
    script: str


Costs = dict[Step, list[float]]
"""The CPU time of every call of a script, in microseconds."""


@dataclass(frozen=True)
class Growth:
    """What a step costs with few jobs and with many: lower quartiles, and with many also the median and the highest.

    Other processes make calls slower and never faster, so the lower quartiles are what is compared.
    """

    step: Step
    small_us: float
    large_us: float
    median_us: float
    worst_us: float
    calls: int

    @property
    def factor(self) -> float:
        """The ratio of the lower quartiles."""
        return max(NOISE_US, self.large_us) / max(NOISE_US, self.small_us)


def compare(small: Costs, large: Costs) -> list[Growth]:
    """Every step that was measured with both sizes, in the order of measurement."""
    return [
        Growth(step, lower_quartile(small[step]), lower_quartile(costs), median(costs), max(costs), len(costs))
        for step, costs in large.items()
        if step in small
    ]


def lower_quartile(costs: Sequence[float]) -> float:
    """The cost that a quarter of the calls stay below."""
    return sorted(costs)[len(costs) // 4]


class MeteredNode(Node):
    """A connection that asks Redis for its CPU time directly before and after each script.

    It works in plain Python only, because a class that mypyc has compiled cannot have interpreted subclasses.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        super().__init__(RedisAddress.parse(url), timeout_s, QueueUnavailable)
        self.on_script: Callable[[str, float], None] | None = None
        """Called with the digest of each script and its microseconds. None: nothing is measured."""

    def call(self, command: bytes) -> FutureReply:
        """Send a command. The questions go out in the same write, so that Redis runs nothing else in between."""
        script = _SCRIPT.search(command, 0, 100)
        if self.on_script is None or script is None:
            return super().call(command)
        before, answer, after = super().call(_INFO), super().call(command), super().call(_INFO)
        after.add_done_callback(partial(_tell, self.on_script, script[1].decode(), before))
        return answer

    async def info_us(self) -> float:
        """The CPU time of asking, in microseconds."""
        answers = await asyncio.gather(*(super(MeteredNode, self).call(_INFO) for _ in range(CALIBRATIONS)))
        used = [_used_us(answer) for answer in answers]
        return min(later - earlier for earlier, later in pairwise(used))


def _tell(on_script: Callable[[str, float], None], digest: str, before: FutureReply, after: FutureReply) -> None:
    on_script(digest, _used_us(after.result()) - _used_us(before.result()))


def _used_us(info: Any) -> float:  # noqa: ANN401 - Redis' answers are untyped
    return sum(float(seconds) for seconds in _USED.findall(info)) * 1e6


class CostMeter:
    """Makes calls one at a time and notes the cost of each script that they run."""

    def __init__(self, node: MeteredNode, package: str) -> None:
        self._node = node
        self._names = {_digest(package, name): name for name in scripts_of(package)}
        self.costs: defaultdict[Step, list[float]] = defaultdict(list)

    async def measure(self, situation: str, action: str, calls: Iterable[Call]) -> None:
        """Make these calls one after the other. Each may run several scripts, and a script several times."""
        overhead_us = await self._node.info_us()

        def note(digest: str, used_us: float) -> None:
            self.costs[Step(situation, action, self._names[digest])].append(max(1.0, used_us - overhead_us))

        self._node.on_script = note
        try:
            for call in calls:
                await call()
        finally:
            self._node.on_script = None


def _digest(package: str, name: str) -> str:
    return sha1(source(package, name).encode(), usedforsecurity=False).hexdigest()


def scripts_of(package: str) -> list[str]:
    """The names of a package's scripts, without the parts that scripts share."""
    names = (file.name.removesuffix(".lua") for file in (files(package) / "lua").iterdir())
    return sorted(name for name in names if not name.startswith("_"))
