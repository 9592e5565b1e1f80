"""The interface of an intake: how a worker moves jobs from a broker into the flows."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from app.redis_wire.scripts import Scripts
from app.rules.cache import RuleCache
from app.settings import Settings


@dataclass(slots=True)
class IntakeReport:
    """What a worker says of its broker with each heartbeat: what `read` returns, which an intake sets."""

    read: Callable[[], Mapping[str, Any]] = dict


@dataclass(frozen=True, slots=True)
class IntakeParts:
    """What an intake may use; `scripts` run on `queue`, the queue Redis."""

    cache: Redis
    queue: Redis
    scripts: Scripts
    rules: RuleCache
    settings: Settings
    registry: CollectorRegistry
    report: IntakeReport


RunIntake = Callable[[IntakeParts], Coroutine[Any, Any, None]]
"""Moves jobs until it is cancelled, or returns when there is nothing to move. Raises StartupError."""
