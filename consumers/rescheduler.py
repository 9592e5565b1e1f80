"""Rescheduling: when a rule changes, its flows become due at once instead of at a slot of the old rate."""

import asyncio

import structlog

from app.errors import RulesUnavailable, Unavailable
from app.queue.flows import Flows
from app.rules.cache import RuleCache

log = structlog.get_logger()

RETRY_DELAY_S = 0.5


class Rescheduler:
    """Reschedules the flows of changed rules, one rule after the other."""

    def __init__(self, flows: Flows, rules: RuleCache) -> None:
        self._flows = flows
        self._rules = rules
        self._changed: set[str] = set()
        self._all = False
        self._pending = asyncio.Event()

    def changed(self, rule_ids: frozenset[str] | None) -> None:
        """Note that these rules changed; None means that any rule may have changed."""
        if rule_ids is None:
            self._all = True
        else:
            self._changed |= rule_ids
        self._pending.set()

    async def run(self) -> None:
        """Reschedule flows whenever rules change; runs until cancelled."""
        while True:
            await self._pending.wait()
            self._pending.clear()
            try:
                await self._reschedule()
            except Unavailable as error:
                log.warning("reschedule_failed", error=str(error))
                self._pending.set()
                await asyncio.sleep(RETRY_DELAY_S)

    async def _reschedule(self) -> None:
        if self._all:
            self._changed |= await self._flows.rules()
            self._all = False
        unread: dict[str, RulesUnavailable] = {}
        while self._changed:
            rule_id = self._changed.pop()  # before the rule is read, so that a change in the meantime counts
            try:
                await self._flows.reschedule(rule_id, await self._rules.by_id(rule_id, latest=True))
            except RulesUnavailable as error:
                unread[rule_id] = error
            except Unavailable:
                self._changed |= {rule_id, *unread}
                raise
        self._changed |= unread.keys()
        for unread_error in unread.values():
            raise unread_error
