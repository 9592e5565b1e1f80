"""Drains: how fast the flows of a rule drain, whether they are paused, and what waits in them."""

from typing import Any

from app.admin.operators import Operator, Role
from app.admin.services.audit import Audit
from app.admin.services.preconditions import ANY, Precondition
from app.admin.services.rules import RuleEdit, Rules
from app.errors import Conflict, NotFound, PreconditionFailed
from app.queue.operations import Operations, PurgedPage
from app.rules.model import WITHOUT_QUOTA, Rule, parse_rule


class Drains:
    """Changes how a rule's flows drain, by its document, and cancels what waits.

    Methods raise Forbidden, RulesUnavailable and QueueUnavailable; those that change the rule also NotFound, Conflict
    and PreconditionFailed.
    """

    def __init__(self, rules: Rules, operations: Operations, audit: Audit) -> None:
        self._rules = rules
        self._operations = operations
        self._audit = audit

    async def set_rate(
        self,
        operator: Operator,
        rule_id: str,
        drain: dict[str, Any],
        precondition: Precondition = ANY,
        for_seconds: int | None = None,
    ) -> Rule:
        """Give the rule a drain rate of its own: `limit`, `window_seconds`, `burst`. Raises InvalidRule.

        With `for_seconds` it has its previous one again after that time, whoever is still there.
        """
        return await self._change(operator, rule_id, {"drain": drain}, precondition, for_seconds=for_seconds)

    async def unset_rate(self, operator: Operator, rule_id: str, precondition: Precondition = ANY) -> Rule:
        """Remove the rule's own drain rate, so that its flows drain from the rule's budget."""
        return await self._change(operator, rule_id, {"drain": None}, precondition)

    async def set_paused(
        self,
        operator: Operator,
        rule_id: str,
        precondition: Precondition = ANY,
        for_seconds: int | None = None,
        *,
        paused: bool,
    ) -> Rule | None:
        """Pause or resume a rule. Return it, or None where it is gone and only its flows are paused or resumed.

        With `for_seconds` it is as before after that time, which is possible only while the rule exists. A rule that is
        not in force says nothing to the workers any more, so its flows are told.
        """
        operator.require(Role.OPERATOR)
        action = "rule.paused" if paused else "rule.resumed"
        try:
            rule = await self._change(operator, rule_id, {"paused": paused}, precondition, action, for_seconds)
        except NotFound:
            if for_seconds is not None or not await self._operations.has_flows(rule_id):
                raise
            if problem := precondition.problem(rule_id, None):
                raise PreconditionFailed(problem) from None
            if not await self._operations.set_paused(rule_id, paused=paused):
                raise
            await self._audit.record_done(operator, action=action, target=rule_id)
            return None
        if not _is_in_force(rule):
            await self._operations.set_paused(rule_id, paused=paused)
        return rule

    async def purge(self, operator: Operator, rule_id: str, after: str | None) -> PurgedPage:
        """Cancel jobs of the rule that wait to be sent, whether or not the rule still exists; a bounded number.

        Jobs that are being sent are not affected. `after` is the `next` of the call before.
        """
        operator.require(Role.OPERATOR)
        page = await self._operations.purge(rule_id, after)
        if page.canceled:
            await self._audit.record_done(
                operator, action="rule.purged", target=rule_id, after={"canceled": page.canceled}
            )
        return page

    async def _change(
        self,
        operator: Operator,
        rule_id: str,
        changed: dict[str, Any],
        precondition: Precondition,
        action: str | None = None,
        for_seconds: int | None = None,
    ) -> Rule:
        def edit(old: dict[str, Any]) -> Rule:
            rule = parse_rule(old | changed)
            if for_seconds is not None and not _is_in_force(rule):
                raise Conflict(f"The rule {rule_id!r} is not in force, so it cannot be changed for a while.")
            return rule

        return await self._rules.change(
            operator, rule_id, RuleEdit(edit, frozenset(changed), for_seconds), precondition, action
        )


def _is_in_force(rule: Rule) -> bool:
    """Whether workers read the rule. The flows of one that is not in force are told of a pause by themselves."""
    return rule.enabled and rule.action not in WITHOUT_QUOTA
