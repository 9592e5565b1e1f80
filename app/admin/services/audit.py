"""The audit: who changed what, by which face, from what to what."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from pymongo.errors import PyMongoError

from app.admin.operators import Operator, Role
from app.admin.services.audit_model import AuditedChange, AuditPage, AuditQuery
from app.audit.entry import AuditEntry
from app.audit.log import AuditFilter, AuditLog
from app.errors import AuditUnavailable
from app.web.excerpt import one_line

log = structlog.get_logger()


class Audit:
    """Records what operators do to flows and jobs, and lists what anybody did.

    A change of a rule is recorded by the store of rules, in the transaction of the change.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def record(
        self,
        operator: Operator,
        *,
        action: str,
        target: str,
        before: Any = None,  # noqa: ANN401 - JSON
        after: Any = None,  # noqa: ANN401 - JSON
    ) -> None:
        """Record what an operator is about to do. `action` is `<kind>.<what is done>`, such as `job.canceled`.

        `before` and `after` are JSON values, of which credentials are left out. Raises Forbidden, and AuditUnavailable
        where it was not recorded and so must not be done.
        """
        operator.require(Role.OPERATOR)
        with _audit_errors():
            await self._log.add([AuditEntry(operator.actor, action, target, before, after)])

    async def record_each(self, operator: Operator, *, action: str, targets: Iterable[str]) -> None:
        """Record that an operator is about to do the same to several targets. Raises Forbidden, AuditUnavailable."""
        operator.require(Role.OPERATOR)
        with _audit_errors():
            await self._log.add([AuditEntry(operator.actor, action, target) for target in targets])

    async def record_done(
        self,
        operator: Operator,
        *,
        action: str,
        target: str,
        before: Any = None,  # noqa: ANN401 - JSON
        after: Any = None,  # noqa: ANN401 - JSON
    ) -> None:
        """Record what an operator has done, where only the outcome says what that was.

        It is done already, so where MongoDB cannot be reached this is no error: the entry goes to the log of the
        process. Raises Forbidden.
        """
        operator.require(Role.OPERATOR)
        entry = AuditEntry(operator.actor, action, target, before, after)
        try:
            await self._log.add([entry])
        except PyMongoError as error:
            log.error("audit_not_written", error=one_line(error), **entry.to_document())

    async def page(self, operator: Operator, query: AuditQuery) -> AuditPage:
        """Return the entries that a query asks for, newest first. Raises Forbidden, AuditUnavailable."""
        operator.require(Role.VIEWER)
        wanted = AuditFilter(query.actor, query.action, query.target, query.since, query.until)
        with _audit_errors():
            found, following = await self._log.page(wanted, query.after, query.limit)
        return AuditPage(entries=[AuditedChange(id=str(one["_id"]), **one) for one in found], next=following)


@contextmanager
def _audit_errors() -> Iterator[None]:
    """Raise AuditUnavailable in the place of errors of MongoDB."""
    try:
        yield
    except PyMongoError as error:
        raise AuditUnavailable(f"MongoDB: {one_line(error, 500)}") from error
