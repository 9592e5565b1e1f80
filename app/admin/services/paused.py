"""What operators have paused: read when it has changed, and counted for all who look."""

import asyncio

from app.admin.services.stores import ANSWER_WITHIN_S
from app.errors import QueueUnavailable, RulesUnavailable
from app.queue.flow_settings import FlowSettingStore
from app.rules.paused_rules import PausedRules


class PausedFlows:
    """The settings of flows that pause them, kept in memory while their version is the same."""

    def __init__(self, store: FlowSettingStore) -> None:
        self._store = store
        self._version = 0
        self._names: frozenset[str] = frozenset()

    async def names(self) -> frozenset[str]:
        """The names of these settings, `<rule id>|<descriptor>`. Raises QueueUnavailable."""
        version = await self._store.version()
        if version != self._version:
            settings = await self._store.all()
            self._names = frozenset(name for name, setting in settings.items() if setting.paused)
            self._version = version
        return self._names


class PausedCounts:
    """Counts what is paused. A count is None while the store that knows it does not answer."""

    def __init__(self, flows: PausedFlows, rules: PausedRules) -> None:
        self._flows = flows
        self._rules = rules

    async def flows(self) -> int | None:
        """How many callers' flows are paused by themselves."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return len(await self._flows.names())
        except (QueueUnavailable, TimeoutError):
            return None

    async def rules(self) -> int | None:
        """How many rules are paused, MAX_COUNTED at most."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._rules.count()
        except (RulesUnavailable, TimeoutError):
            return None
