"""The store of rules in MongoDB, which the admin API writes and sync reads."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import CollectionInvalid, DuplicateKeyError, PyMongoError
from pymongo.write_concern import WriteConcern

from app.clients import MongoDatabase
from app.errors import Conflict, InvalidRule, NotFound, PreconditionFailed, RulesUnavailable
from app.rules.model import MAX_VERSION, Rule, parse_rule
from app.rules.schema import mongodb_schema

COLLECTION = "rules"
LAST_GOOD = "rules_good"
"""Collection: the last valid version of each rule, written by sync."""

HISTORY = "rules_history"
"""Collection: every version of each rule as sync saw it, kept for a year."""

HISTORY_TTL_S = 366 * 86_400


class RuleStore:
    """Reads and writes rules. Every method raises RulesUnavailable if MongoDB can't be reached."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._rules = database.get_collection(COLLECTION, write_concern=WriteConcern("majority"))

    async def setup(self) -> None:
        """Create the collection if it does not exist, and set its validator and indexes."""
        try:
            with suppress(CollectionInvalid):
                await self._database.create_collection(COLLECTION)
            await self._database.command("collMod", COLLECTION, validator=mongodb_schema(), validationLevel="moderate")
            await self._rules.create_index([("key_type", 1), ("key_value", 1)])
            await self._database[HISTORY].create_index([("rule_id", 1), ("_id", -1)])
            await self._database[HISTORY].create_index("at", expireAfterSeconds=HISTORY_TTL_S)
        except PyMongoError as error:
            raise RulesUnavailable(f"MongoDB: {error}") from error

    async def all(self) -> tuple[list[Rule], dict[str, str]]:
        """All valid rules in order of their ids, and for each invalid document what is wrong with it."""
        rules, problems = [], {}
        try:
            async for document in self._rules.find().sort("_id"):
                try:
                    rules.append(parse_rule(document))
                except InvalidRule as error:
                    problems[str(document["_id"])] = str(error)
        except PyMongoError as error:
            raise RulesUnavailable(f"MongoDB: {error}") from error
        return rules, problems

    async def get(self, rule_id: str) -> Rule:
        """One rule; raises NotFound, or InvalidRule if its document is invalid."""
        document = await self._find(rule_id)
        if document is None:
            raise NotFound(f"There is no rule {rule_id!r}.")
        return parse_rule(document)

    async def last_good(self, rule_ids: Iterable[str]) -> dict[str, Rule]:
        """The versions of these rules that are in force although their documents are invalid."""
        found: dict[str, Rule] = {}
        try:
            async for document in self._database[LAST_GOOD].find({"_id": {"$in": list(rule_ids)}}):
                with suppress(InvalidRule):  # the model has become stricter since it was stored
                    found[document["_id"]] = parse_rule(document["rule"])
        except PyMongoError as error:
            raise RulesUnavailable(f"MongoDB: {error}") from error
        return found

    async def history(self, rule_id: str, limit: int) -> list[tuple[datetime, Rule | None]]:
        """The versions of a rule, newest first, with the time of each; None where the rule was deleted."""
        found: list[tuple[datetime, Rule | None]] = []
        try:
            async for entry in self._database[HISTORY].find({"rule_id": rule_id}).sort("_id", -1).limit(limit):
                with suppress(InvalidRule):  # the model has become stricter since it was stored
                    found.append((entry["at"], parse_rule(entry["rule"]) if entry["rule"] else None))
        except PyMongoError as error:
            raise RulesUnavailable(f"MongoDB: {error}") from error
        return found

    async def create(self, rule: Rule, by: str) -> Rule:
        """Insert a new rule; raises Conflict if the id is taken."""
        new = _stamped(rule, 1, by)
        try:
            await self._rules.insert_one(to_document(new))
        except DuplicateKeyError:
            raise Conflict(f"There is a rule {rule.rule_id!r} already.") from None
        except PyMongoError as error:
            raise RulesUnavailable(f"MongoDB: {error}") from error
        return new

    async def put(self, rule: Rule, by: str, if_version: int | None = None) -> Rule:
        """Replace or insert a rule.

        With `if_version`, only if that version is stored (0: no document); raises PreconditionFailed.
        """
        old = await self._find(rule.rule_id, {"version": 1})
        version = _version(old)
        if if_version is not None and version != if_version:
            raise PreconditionFailed(f"The rule {rule.rule_id!r} is at version {version}, not {if_version}.")
        new = _stamped(rule, version + 1, by)
        if await self._replace(old, to_document(new)):
            return new
        if if_version is not None:
            raise PreconditionFailed(f"The rule {rule.rule_id!r} has just changed.")
        return await self.put(rule, by)

    async def _replace(self, old: dict[str, Any] | None, new: dict[str, Any]) -> bool:
        """Write over `old` (None: no document) only; returns False if another document is stored by now."""
        try:
            if old is None:
                await self._rules.insert_one(new)
                return True
            found = await self._rules.replace_one({"_id": new["_id"], "version": old.get("version")}, new)
        except DuplicateKeyError:
            return False
        except PyMongoError as error:
            raise RulesUnavailable(f"MongoDB: {error}") from error
        return bool(found.matched_count)

    async def version(self, rule_id: str) -> int:
        """The version of the stored document, valid or not; 0 if there is none."""
        return _version(await self._find(rule_id, {"version": 1}))

    async def delete(self, rule_id: str, if_version: int | None = None) -> None:
        """Delete a rule, with `if_version` only that version; raises NotFound, PreconditionFailed."""
        old = await self._find(rule_id, {"version": 1})
        if old is None:
            raise NotFound(f"There is no rule {rule_id!r}.")
        wanted: dict[str, Any] = {"_id": rule_id}
        if if_version is not None:
            if _version(old) != if_version:
                raise PreconditionFailed(f"The rule {rule_id!r} is at version {_version(old)}, not {if_version}.")
            wanted["version"] = old.get("version")
        try:
            deleted = (await self._rules.delete_one(wanted)).deleted_count
        except PyMongoError as error:
            raise RulesUnavailable(f"MongoDB: {error}") from error
        if deleted:
            return
        if if_version is not None:
            raise PreconditionFailed(f"The rule {rule_id!r} has just changed.")
        raise NotFound(f"There is no rule {rule_id!r}.")

    async def _find(self, rule_id: str, fields: dict[str, Any] | None = None) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] | None = await self._rules.find_one({"_id": rule_id}, fields)
        except PyMongoError as error:
            raise RulesUnavailable(f"MongoDB: {error}") from error
        return found


def _version(document: dict[str, Any] | None) -> int:
    """The version of a document; 0 without one, and 1 if one that was written by hand has no valid version."""
    if document is None:
        return 0
    version = document.get("version")
    if isinstance(version, bool) or not isinstance(version, int | float) or not 1 <= version < MAX_VERSION:
        return 1
    return int(version)


def _stamped(rule: Rule, version: int, by: str) -> Rule:
    now = datetime.now(UTC).replace(microsecond=0)
    return rule.model_copy(update={"version": version, "updated_at": now, "updated_by": by})


def to_document(rule: Rule) -> dict[str, Any]:
    """Write a rule as a MongoDB document."""
    fields = rule.model_dump(exclude_defaults=True, exclude={"rule_id"})
    return {"_id": rule.rule_id} | fields | {"version": rule.version}
