"""Operations as documents in MongoDB."""

from typing import Any

from app.admin.services.operations_model import Operation, OperationState, filter_document, filter_of_kind


def to_document(operation: Operation) -> dict[str, Any]:
    """Write an operation as a document."""
    return {
        "_id": operation.id,
        "kind": operation.kind,
        "filter": filter_document(operation.filter),
        "rate_per_s": operation.rate_per_s,
        "state": operation.state.value,
        "started_by": operation.started_by,
        "created_at": operation.created_at,
        "until_us": operation.until_us,
        "candidates": operation.candidates,
        "total": operation.total,
        "total_is_exact": operation.total_is_exact,
        "total_estimate": operation.total_estimate,
        "batch": operation.batch,
        "cursor": operation.cursor,
        "done": operation.done,
        "skipped": operation.skipped,
        "looked_at": operation.looked_at,
        "errors": dict(operation.errors),
        "holder": None,
    }


def operation_of(document: dict[str, Any]) -> Operation:
    """Read a document."""
    return Operation(
        id=document["_id"],
        kind=document["kind"],
        filter=filter_of_kind(document["kind"], document["filter"]),
        rate_per_s=document["rate_per_s"],
        state=OperationState(document["state"]),
        started_by=document["started_by"],
        created_at=document["created_at"],
        until_us=document["until_us"],
        candidates=document["candidates"],
        total=document["total"],
        total_is_exact=document["total_is_exact"],
        total_estimate=document["total_estimate"],
        started_at=document.get("started_at"),
        ended_at=document.get("ended_at"),
        canceled_by=document.get("canceled_by"),
        batch=document["batch"],
        cursor=document["cursor"],
        done=document["done"],
        skipped=document["skipped"],
        looked_at=document["looked_at"],
        errors=document["errors"],
        problem=document.get("problem"),
    )
