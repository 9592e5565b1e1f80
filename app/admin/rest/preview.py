"""`/v1/rules/{id}/preview`: previews a changed rule on real traffic."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.admin.rest.auth import AsViewer
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.rest.rules import ObjectBody
from app.admin.rest.schemas import BODY_PROBLEMS, COMMON_PROBLEMS, RULE_EXAMPLES, RULE_FIELDS, without_id
from app.admin.services.preview_model import Preview
from app.rules.field_types import RuleId
from app.web.openapi import json_request, problems

router = APIRouter(prefix="/rules", tags=["rules"])

TrafficOf = Annotated[
    RuleId | None,
    Query(
        description="Another rule, whose requests a rule that is new is tried on. It counts the same callers, or each "
        "of those of whom the new one counts one."
    ),
]


@router.post(
    "/{rule_id}/preview",
    response_model=Preview,
    responses=problems(*COMMON_PROBLEMS, 404, 409, *BODY_PROBLEMS),
    openapi_extra=json_request(
        f"{RULE_FIELDS}WithoutId", examples={name: without_id(rule) for name, rule in RULE_EXAMPLES.items()}
    ),
)
async def preview_rule(
    rule_id: RuleId, operator: AsViewer, parts: AdminPartsOf, fields: ObjectBody, traffic_of: TrafficOf = None
) -> Preview:
    """Preview a changed rule: what it would have done to the requests of the last minutes. Nothing is written.

    The body has all fields of the changed rule, as `PUT` takes them; it must count the same callers. The answer is 409
    if no edge has seen requests to the rule lately. A rule that does not exist yet is previewed with `traffic_of`.
    """
    return await parts.previews.preview(operator, rule_id, fields, traffic_of)
