"""Ends temporary values of rules: it gives a rule its previous values back once their time is over.

What is due is in the documents of MongoDB, so it is done whoever set the value has ended, and after any restart. Of
several sync workers one does it, because a rule is replaced only if it is still what was read, and was due then.
"""

import asyncio
import time
from datetime import UTC, datetime

import structlog

from app.audit.entry import PENSTOCK
from app.clients import MongoDatabase
from app.errors import Conflict, InvalidRule, Unavailable
from app.rules.in_force import reverted
from app.rules.model import Rule
from app.rules.store import COLLECTION, RuleStore
from app.rules.temporary import due

log = structlog.get_logger()

CHECK_INTERVAL_S = 0.5
RETRY_INTERVAL_S = 5.0
RETRIES_PER_S = 20
"""After how long a document is looked at again whose values could not be ended, and how many of them in a second:
however many they are, the values of others end in time.
"""


class TemporaryValues:
    """Ends the temporary values of all rules."""

    def __init__(self, database: MongoDatabase) -> None:
        self._rules = database[COLLECTION]
        self._store = RuleStore(database)
        self._failed_at_s: dict[str, float] = {}

    async def run(self) -> None:
        """End values when they are due, until it is cancelled. Raises pymongo's errors."""
        while True:
            await self.end_due()
            await asyncio.sleep(CHECK_INTERVAL_S)

    async def end_due(self) -> None:
        """End the values that are due now. Raises pymongo's errors."""
        now = datetime.now(UTC)
        query = {"_id": {"$type": "string"}, "temporary.until": {"$lte": now}}
        failed_at_s, self._failed_at_s = self._failed_at_s, {}
        retried_after_s = max(RETRY_INTERVAL_S, len(failed_at_s) / RETRIES_PER_S)
        async for found in self._rules.find(query, {"_id": 1}).sort("temporary.until"):
            rule_id = found["_id"]
            tried_at_s = failed_at_s.get(rule_id)
            if tried_at_s is None or time.monotonic() - tried_at_s >= retried_after_s:
                tried_at_s = None if await self._is_ended(rule_id, now) else time.monotonic()
            if tried_at_s is not None:
                self._failed_at_s[rule_id] = tried_at_s

    async def _is_ended(self, rule_id: str, now: datetime) -> bool:
        try:
            return await self._end(rule_id, now)
        except (Unavailable, Conflict) as error:
            log.warning("temporary_value_not_ended", rule_id=rule_id, error=str(error))
            return False

    async def _end(self, rule_id: str, now: datetime) -> bool:
        """Return whether the document is a rule, whose values are over now, or were already."""
        stored = await self._store.find(rule_id)
        rule = stored.document.rule if stored.document else None
        if rule is None:  # it is reported as an invalid document, and stays as it is
            return False
        if not any(due(rule.temporary or (), now)):  # another sync worker, or an operator, has ended them meanwhile
            return True
        try:
            new, action = reverted(rule, now), "rule.reverted"
        except InvalidRule as error:
            log.error("temporary_value_stays", rule_id=rule_id, problem=str(error))
            new, action = _kept_for_good(rule, now), "rule.not_reverted"
        written = await self._store.replace(stored, new, PENSTOCK, action)
        if written is not None:
            log.info("temporary_value_ended", rule_id=rule_id, version=written.version, action=action)
        return True


def _kept_for_good(rule: Rule, now: datetime) -> Rule:
    """The rule whose previous values cannot return, because somebody has changed the document past the admin API."""
    rest = [change for change in rule.temporary or () if change.until > now]
    return rule.model_copy(update={"temporary": rest or None})
