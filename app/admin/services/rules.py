"""Rules: what operators read and write of them, whichever face they use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.admin.operators import Operator, Role
from app.admin.services.field_mask import masked
from app.admin.services.merge_patch import merge_patch
from app.admin.services.preconditions import ANY, Precondition
from app.admin.services.rule_set import parse_rule_set
from app.errors import Conflict, InvalidRule, NotFound, PreconditionFailed
from app.rules.bulk import BulkWriter, Outcome
from app.rules.digest import etag_of
from app.rules.in_force import after_change, for_a_while
from app.rules.key_headers import KeyHeaders
from app.rules.listing import RuleListing, RuleQuery
from app.rules.model import Rule, editable_fields, to_json
from app.rules.store import MAX_ATTEMPTS, RuleStore, StoredRule, changed_too_often

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RuleEdit:
    """A change of a rule: what makes the new rule of the old one's fields, and the names of the fields that it sets.

    With `for_seconds` the rule has its previous values again after that time.
    """

    edit: Callable[[Fields], Rule]
    named: frozenset[str]
    for_seconds: int | None = None

    def applied(self, old: Rule) -> Rule:
        """Return the rule as it is to be stored. Raises what `edit` raises, and InvalidRule."""
        new = self.edit(editable_fields(to_json(old)))
        if self.for_seconds is None:
            return after_change(old, new, self.named)
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)  # as MongoDB stores it
        return for_a_while(old, new, self.named, now + timedelta(seconds=self.for_seconds))


@dataclass(frozen=True, slots=True)
class InvalidRuleDocument:
    """A document in MongoDB that is not a valid rule, and the version of the rule that is in force in its place."""

    name: str
    document_key: str
    problem: str
    version_in_force: int | None


@dataclass(frozen=True, slots=True)
class ListedRules:
    """A page of rules, and of the documents that are not valid rules. `next` is None on the last page."""

    rules: list[Rule]
    invalid: list[InvalidRuleDocument]
    next: str | None


class Rules:
    """Reads and writes rules. Methods raise Forbidden, and RulesUnavailable if MongoDB can't be reached.

    Every change is in the audit. Where a rule's id does not exist, methods raise NotFound; where its document is not a
    valid rule, Conflict.
    """

    def __init__(
        self, store: RuleStore, listing: RuleListing, bulk_writer: BulkWriter, key_headers: KeyHeaders
    ) -> None:
        self._store = store
        self._listing = listing
        self._bulk_writer = bulk_writer
        self._key_headers = key_headers

    async def page(self, operator: Operator, query: RuleQuery) -> ListedRules:
        """List rules, and the documents among them that are not valid rules. Raises InvalidInput for a wrong cursor."""
        operator.require(Role.VIEWER)
        rules, documents, following = await self._listing.page(query)
        in_force = await self._store.last_good(rule_id for one in documents if (rule_id := one.key.rule_id))
        invalid = [
            InvalidRuleDocument(
                document.key.name,
                document.key.text,
                document.problem,
                in_force[document.key.name].version if document.key.name in in_force else None,
            )
            for document in documents
        ]
        return ListedRules(rules, invalid, following)

    async def get(self, operator: Operator, rule_id: str) -> Rule:
        """Return a rule."""
        operator.require(Role.VIEWER)
        return _rule_of(await self._store.find(rule_id))

    async def history(self, operator: Operator, rule_id: str, limit: int) -> list[tuple[datetime, Rule | None]]:
        """Return the versions of a rule and when each came into force, newest first; None where it was deleted."""
        operator.require(Role.VIEWER)
        return await self._store.history(rule_id, limit)

    async def version(self, operator: Operator, rule_id: str, version: int) -> Rule:
        """Return one version of a rule. Raises Conflict if it would no longer be a valid rule."""
        operator.require(Role.VIEWER)
        return await self._version(rule_id, version)

    async def apply(self, operator: Operator, rule_set: Fields, *, dry_run: bool) -> list[Outcome]:
        """Write the rules of a `RuleSet` and delete others, in one transaction, and say what was done with each.

        With `dry_run` nothing is done. Raises InvalidRule, InvalidInput.
        """
        operator.require(Role.ADMIN)
        rules, deleted = parse_rule_set(rule_set, self._key_headers)
        return await self._bulk_writer.apply(rules, deleted, operator.actor, dry_run=dry_run)

    async def create(self, operator: Operator, fields: Fields) -> Rule:
        """Write a new rule. Raises InvalidRule, and Conflict if its id is taken."""
        operator.require(Role.ADMIN)
        return await self._store.create(self._key_headers.admit(editable_fields(fields)), operator.actor)

    async def put(
        self, operator: Operator, rule_id: str, fields: Fields, precondition: Precondition = ANY
    ) -> tuple[Rule, bool]:
        """Write a rule, new or not. Return it, and whether it is new. Raises InvalidRule, PreconditionFailed."""
        operator.require(Role.ADMIN)
        rule = self._key_headers.admit({**editable_fields(fields), "rule_id": _same_id(fields, rule_id)})
        return await self._put(operator, rule, precondition)

    async def restore(
        self, operator: Operator, rule_id: str, version: int, precondition: Precondition = ANY
    ) -> tuple[Rule, bool]:
        """Write a rule as it was in a version of its history, as a new version; also if it was deleted.

        Return it, and whether it is new. Raises NotFound without such a version, Conflict if that would no longer be a
        valid rule, InvalidRule if it cannot be in force here, and PreconditionFailed.
        """
        operator.require(Role.ADMIN)
        rule = self._key_headers.admitted(await self._version(rule_id, version))
        return await self._put(operator, rule, precondition, "rule.restored")

    async def patch(
        self,
        operator: Operator,
        rule_id: str,
        patch: Fields,
        precondition: Precondition = ANY,
        for_seconds: int | None = None,
    ) -> Rule:
        """Change some fields of a rule (JSON merge patch), with `for_seconds` for a while only.

        Raises InvalidRule, InvalidInput, PreconditionFailed.
        """
        operator.require(Role.ADMIN)
        changed = {**editable_fields(patch), "rule_id": _same_id(patch, rule_id)}
        change = RuleEdit(
            lambda old: self._key_headers.admit(merge_patch(old, changed)),
            frozenset(changed) - {"rule_id"},
            for_seconds,
        )
        return await self.change(operator, rule_id, change, precondition)

    async def update(
        self,
        operator: Operator,
        rule_id: str,
        fields: Fields,
        paths: Sequence[str],
        precondition: Precondition = ANY,
        for_seconds: int | None = None,
    ) -> Rule:
        """Replace what a rule has at these paths, with `for_seconds` for a while only.

        Raises InvalidRule, InvalidInput, PreconditionFailed.
        """
        operator.require(Role.ADMIN)
        new = editable_fields(fields)
        change = RuleEdit(
            lambda old: self._key_headers.admit(masked(old, new, paths)),
            frozenset(path.partition(".")[0] for path in paths) - {"rule_id"},
            for_seconds,
        )
        return await self.change(operator, rule_id, change, precondition)

    async def change(
        self, operator: Operator, rule_id: str, change: RuleEdit, precondition: Precondition, action: str | None = None
    ) -> Rule:
        """Replace a rule with what an edit makes of it, and only the content that the edit was given.

        `action` names the change in the audit. Raises what the edit raises, PreconditionFailed, and Conflict if others
        keep writing the same rule.
        """
        operator.require(Role.OPERATOR)
        for _ in range(MAX_ATTEMPTS):
            stored = await self._store.find(rule_id)
            old = _rule_of(stored)
            await self.require(precondition, stored)
            written = await self._store.replace(stored, change.applied(old), operator.actor, action)
            if written is not None:
                return written
        raise changed_too_often(rule_id)

    async def delete(self, operator: Operator, rule_id: str, precondition: Precondition = ANY) -> None:
        """Delete a rule, or a document with this id that is not a valid rule. Raises PreconditionFailed."""
        operator.require(Role.ADMIN)
        for _ in range(MAX_ATTEMPTS):
            stored = await self._store.find(rule_id)
            await self.require(precondition, stored)
            if await self._store.remove(stored, operator.actor):
                return
        raise changed_too_often(rule_id)

    async def require(self, precondition: Precondition, stored: StoredRule) -> None:
        """Check a precondition. Raises PreconditionFailed with the rule as it is, and as the client knows it."""
        problem = precondition.problem(stored.rule_id, stored.etag)
        if problem is None:
            return
        rule = stored.document.rule if stored.document else None
        current = None if rule is None else to_json(rule)
        raise PreconditionFailed(
            problem,
            current=current,
            current_etag=None if rule is None else etag_of(rule),
            based_on=await self._known(precondition, stored.rule_id),
        )

    async def _known(self, precondition: Precondition, rule_id: str) -> Fields | None:
        """The version that a client has, by the ETag that it sent; None if the history does not have it."""
        if precondition.version is None:
            return None
        try:
            rule = await self._store.version(rule_id, precondition.version)
        except (NotFound, InvalidRule):
            return None
        return to_json(rule) if etag_of(rule) in (precondition.etags or ()) else None

    async def _put(
        self, operator: Operator, rule: Rule, precondition: Precondition, action: str | None = None
    ) -> tuple[Rule, bool]:
        for _ in range(MAX_ATTEMPTS):
            stored = await self._store.find(rule.rule_id)
            await self.require(precondition, stored)
            old = stored.document.rule if stored.document else None
            written = await self._store.replace(stored, after_change(old, rule), operator.actor, action)
            if written is not None:
                return written, stored.document is None
        raise changed_too_often(rule.rule_id)

    async def _version(self, rule_id: str, version: int) -> Rule:
        try:
            return await self._store.version(rule_id, version)
        except InvalidRule as error:
            raise Conflict(f"Version {version} of {rule_id!r} is no longer a valid rule: {error}") from error


def _same_id(fields: Fields, rule_id: str) -> str:
    if fields.get("rule_id", rule_id) != rule_id:
        raise InvalidRule("rule_id: must be the id in the path")
    return rule_id


def _rule_of(stored: StoredRule) -> Rule:
    """Return the stored rule. Raises NotFound, and Conflict for an invalid document: the request is not at fault."""
    if stored.document is None:
        raise NotFound(f"There is no rule {stored.rule_id!r}.")
    if stored.document.rule is None:
        raise Conflict(f"The document of {stored.rule_id!r} is not a valid rule, replace it: {stored.document.problem}")
    return stored.document.rule
