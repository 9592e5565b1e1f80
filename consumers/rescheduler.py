"""When a rule changes, all its flows are worth a look at once: a far slot of an old rate is not waited for."""

import asyncio

import structlog

from app.errors import Unavailable
from app.queue.flows import Flows
from app.rules.cache import RuleCache

log = structlog.get_logger()

TROUBLE_PAUSE_S = 0.5


class Rescheduler:
    """Reschedules the flows of changed rules, one change after the other."""

    def __init__(self, flows: Flows, rules: RuleCache) -> None:
        self._flows = flows
        self._rules = rules
        self._changed: set[str] = set()
        self._all = False
        self._work = asyncio.Event()

    def changed(self, rule_ids: frozenset[str] | None) -> None:
        """These rules changed; None: any may have."""
        if rule_ids is None:
            self._all = True
        else:
            self._changed |= rule_ids
        self._work.set()

    async def run(self) -> None:
        """Reschedule as changes come; runs until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                await self._reschedule()
            except Unavailable as error:
                log.warning("reschedule_failed", error=str(error))
                self._work.set()
                await asyncio.sleep(TROUBLE_PAUSE_S)

    async def _reschedule(self) -> None:
        if self._all:
            self._changed |= await self._flows.rules()
            self._all = False
        while self._changed:
            rule_id = next(iter(self._changed))
            await self._flows.reschedule(rule_id, await self._rules.by_id(rule_id))
            self._changed.discard(rule_id)
