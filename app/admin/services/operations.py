"""What operators do to all jobs that a filter finds: start, follow and cancel operations."""

from collections.abc import Callable
from datetime import UTC, datetime

from app.admin.operators import Operator, Role
from app.admin.services.operation_kinds import Kinds
from app.admin.services.operation_store import OperationStore, new_operation_id
from app.admin.services.operations_model import (
    DryRun,
    NewOperation,
    Operation,
    OperationDocument,
    OperationPage,
    OperationState,
    OperationTotal,
    filter_document,
)


class OperationService:
    """Methods raise Forbidden without the role that they require, and Unavailable without their stores."""

    def __init__(self, store: OperationStore, kinds: Kinds, on_added: Callable[[], None]) -> None:
        self._store = store
        self._kinds = kinds
        self._on_added = on_added

    async def start(self, operator: Operator, wanted: NewOperation) -> OperationDocument | DryRun:
        """Start an operation, or with `dry_run` only count what it would touch.

        Raises Conflict if the same is under way already, or nothing that the filter finds can be touched.
        """
        operator.require(Role.OPERATOR)
        kind = self._kinds[wanted.kind]
        await kind.check(wanted.filter)
        count = await kind.count(wanted.filter)
        if wanted.dry_run:
            return DryRun(kind=wanted.kind, filter=filter_document(wanted.filter), total=OperationTotal.of(count))
        operation = Operation(
            id=new_operation_id(),
            kind=wanted.kind,
            filter=wanted.filter,
            rate_per_s=wanted.rate_per_s,
            state=OperationState.PENDING,
            started_by=operator.name,
            created_at=_now(),
            until_us=count.now_us,
            candidates=count.candidates,
            total=count.found,
            total_is_exact=count.is_exact,
            total_estimate=count.estimate,
        )
        await self._store.add(operation, operator.actor)
        self._on_added()
        return OperationDocument.of(operation, _now())

    async def get(self, operator: Operator, operation_id: str) -> OperationDocument:
        """Return an operation as it is. Raises NotFound."""
        operator.require(Role.VIEWER)
        return OperationDocument.of(await self._store.get(operation_id), _now())

    async def page(self, operator: Operator, limit: int, after: str | None) -> OperationPage:
        """List operations, newest first; `after` is the `next` of the page before."""
        operator.require(Role.VIEWER)
        (found, following), now = await self._store.page(limit, after), _now()
        return OperationPage(operations=[OperationDocument.of(one, now) for one in found], next=following)

    async def cancel(self, operator: Operator, operation_id: str) -> OperationDocument:
        """Ask for the end of an operation; what has been done stays. Raises NotFound, and Conflict if it has ended."""
        operator.require(Role.OPERATOR)
        canceled = await self._store.cancel(operation_id, operator.actor)
        self._on_added()
        return OperationDocument.of(canceled, _now())


def _now() -> datetime:
    """The time in milliseconds, as MongoDB stores it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
