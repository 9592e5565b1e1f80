"""`PUT /v1/rules`: its body and its answer."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.admin.services.rule_set import RuleSet
from app.rules.bulk import Outcome
from app.web.openapi import schemas_of

BULK_RULES = RuleSet.__name__


class ChangedField(BaseModel):
    """A field of a rule that changes. Null is its default."""

    model_config = ConfigDict(populate_by_name=True)

    field: str
    old: Any = Field(alias="from")
    new: Any = Field(alias="to")


class BulkOutcome(BaseModel):
    """What was done with one rule or document. `version` is null if it is deleted, or was missing already."""

    rule_id: str
    outcome: Literal["created", "changed", "unchanged", "deleted", "missing"]
    version: int | None
    changes: list[ChangedField]


class BulkReport(BaseModel):
    """What was done with each rule and document, in the order of the request."""

    outcomes: list[BulkOutcome]


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as the answer shows it."""
    changes = [{"field": change.field, "from": change.old, "to": change.new} for change in outcome.changes]
    return {"rule_id": outcome.name, "outcome": outcome.outcome, "version": outcome.version, "changes": changes}


def bulk_schemas(rule_fields: str) -> dict[str, dict[str, Any]]:
    """Return the schema of the body, in which rules have the schema of this name."""
    found = schemas_of(RuleSet)
    found[BULK_RULES]["properties"]["rules"]["items"] = {"$ref": f"#/components/schemas/{rule_fields}"}
    return found
