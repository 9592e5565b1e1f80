"""How long and how often to measure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Sizes of one benchmark; `--quick` has small ones, which say whether it works and not how fast it is."""

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


FULL = Plan(
    5,
    4,
    2,
    20_000,
    10,
    (1_000, 10_000, 100_000, 1_000_000),
    (1, 100, 10_000, 100_000),
    (10, 1_000, 100_000, 1_000_000),
    10_000,
    10_000,
    (1_000, 1_000_000),
)
QUICK = Plan(2, 2, 2, 2_000, 2, (1_000, 10_000), (1, 1_000), (10, 1_000), 2_000, 2_000, (500, 1_000))
