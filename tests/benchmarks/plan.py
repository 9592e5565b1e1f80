"""The sizes of the benchmarks: how much, how long and how often to measure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The sizes of all benchmarks. Those of `--quick` only show whether the benchmarks work."""

    rounds: int
    seconds: int
    warm_up_s: int
    jobs: int
    accuracy_s: int
    backlogs: tuple[int, ...]
    flows: tuple[int, ...]
    rules: tuple[int, ...]
    probes: int
    life_jobs: int
    cost_jobs: tuple[int, int]
    polled_jobs: int
    probe_s: int


FULL = Plan(
    rounds=5,
    seconds=4,
    warm_up_s=2,
    jobs=20_000,
    accuracy_s=10,
    backlogs=(1_000, 10_000, 100_000, 1_000_000),
    flows=(1, 100, 10_000, 100_000),
    rules=(10, 1_000, 100_000, 1_000_000),
    probes=10_000,
    life_jobs=10_000,
    cost_jobs=(1_000, 1_000_000),
    polled_jobs=30_000,
    probe_s=10,
)
QUICK = Plan(
    rounds=2,
    seconds=2,
    warm_up_s=2,
    jobs=2_000,
    accuracy_s=2,
    backlogs=(1_000, 10_000),
    flows=(1, 1_000),
    rules=(10, 1_000),
    probes=2_000,
    life_jobs=2_000,
    cost_jobs=(500, 1_000),
    polled_jobs=1_000,
    probe_s=3,
)
