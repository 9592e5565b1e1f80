"""Operations as documents in MongoDB."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter

from app.admin.services.operations_model import Operation, filter_document, filter_of_kind

_OPERATIONS = TypeAdapter(Operation)
_LATER = ("started_at", "ended_at", "canceled_by", "problem")
"""What a document has only once there is something to say."""
_AT_ONCE = [field.name for field in fields(Operation) if field.name not in {"id", "filter", *_LATER}]


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


def operation_of(document: Mapping[str, Any]) -> Operation:
    """Read a document. Raises KeyError, TypeError or ValueError where this version of Penstock writes none like it."""
    stored = {name: document[name] for name in _AT_ONCE} | {name: document.get(name) for name in _LATER}
    wanted = filter_of_kind(document["kind"], document["filter"])
    return _OPERATIONS.validate_python(stored | {"id": document["_id"], "filter": wanted})


def readable_operation(document: Mapping[str, Any]) -> Operation | None:
    """Read a document; None where this version of Penstock writes none like it."""
    try:
        return operation_of(document)
    except (KeyError, TypeError, ValueError):
        return None
