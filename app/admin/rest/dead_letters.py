"""`/v1/dead-letters`: lists, shows, replays and deletes failed jobs that are kept."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.admin.rest.auth import AsOperator, AsViewer
from app.admin.rest.bodies import body_as
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.rest.schemas import BODY_PROBLEMS, COMMON_PROBLEMS
from app.admin.services.dead_letters_model import DeadLetterDocument, DeadLetterPage, ManyReplayed, Replayed
from app.queue.dead_letter_filter import (
    MAX_DESCRIPTOR_LENGTH,
    PLACE_PATTERN,
    DeadLetterFilter,
    FailureCode,
)
from app.queue.rule_replay import CURSOR
from app.rules.field_types import RuleId
from app.web.openapi import json_request, problems
from app.web.timestamps import Timestamp

router = APIRouter(prefix="/dead-letters", tags=["dead letters"])

MAX_PAGE_SIZE = 1000


class DeadLetterSelection(BaseModel):
    """Selects dead letters by their ids, or all dead letters of a rule."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MAX_PAGE_SIZE)] | None = None
    rule_id: RuleId | None = None
    after: Annotated[str, Field(pattern=CURSOR)] | None = Field(
        None, description="With `rule_id`: the `next` of the answer before."
    )

    @model_validator(mode="after")
    def _require_one_member(self) -> "DeadLetterSelection":
        if (self.ids is None) == (self.rule_id is None):
            raise ValueError("give either ids or rule_id")
        if self.after is not None and self.rule_id is None:
            raise ValueError("after: only with rule_id")
        return self


SelectionBody = Annotated[DeadLetterSelection, Depends(body_as(DeadLetterSelection))]


async def _filter(
    rule_id: RuleId | None = None,
    descriptor: Annotated[str | None, Query(min_length=1, max_length=MAX_DESCRIPTOR_LENGTH)] = None,
    code: FailureCode | None = None,
    response_status: Annotated[int | None, Query(ge=100, le=599)] = None,
    failed_after: Timestamp | None = None,
    failed_before: Timestamp | None = None,
) -> DeadLetterFilter:
    return DeadLetterFilter(
        rule_id=rule_id,
        descriptor=descriptor,
        code=code,
        response_status=response_status,
        failed_after=failed_after,
        failed_before=failed_before,
    )


FilterQuery = Annotated[DeadLetterFilter, Depends(_filter)]


@router.get("", responses=problems(*COMMON_PROBLEMS))
async def list_dead_letters(
    operator: AsViewer,
    parts: AdminPartsOf,
    wanted: FilterQuery,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = 100,
    after: Annotated[str, Query(pattern=f"^({PLACE_PATTERN})?$")] = "",
) -> DeadLetterPage:
    """List dead letters, newest first. `next` is the `after` of the next page, and null on the last page.

    A page may be short, and even empty, although others follow: one request looks at a bounded number of dead letters.
    """
    return await parts.dead_letters.page(operator, wanted, limit, after)


@router.get("/{job_id}", responses=problems(*COMMON_PROBLEMS, 404, 409))
async def get_dead_letter(job_id: str, operator: AsViewer, parts: AdminPartsOf) -> DeadLetterDocument:
    """Show a dead letter: the error, the request and the app server's last answer. Bodies are base64.

    Request and answer are shown to operators and admins only, and stored credentials to nobody.
    """
    return await parts.dead_letters.get(operator, job_id)


@router.post("/{job_id}/replay", status_code=202, responses=problems(*COMMON_PROBLEMS, 404, 409))
async def replay_dead_letter(job_id: str, operator: AsOperator, parts: AdminPartsOf) -> Replayed:
    """Queue the job again at the end of its flow, with all of its attempts."""
    await parts.dead_letters.replay(operator, job_id)
    return Replayed(replayed=1)


@router.post(
    "/replay",
    status_code=202,
    responses=problems(*COMMON_PROBLEMS, 409, *BODY_PROBLEMS),
    openapi_extra=json_request(DeadLetterSelection.__name__),
)
async def replay_dead_letters(operator: AsOperator, parts: AdminPartsOf, selection: SelectionBody) -> ManyReplayed:
    """Queue many jobs again. Jobs that are not dead letters are skipped and reported.

    With `rule_id` those of the rule are queued, the oldest first, at most 1000 in one request.
    """
    if selection.rule_id is not None:
        return await parts.dead_letters.replay_rule(operator, selection.rule_id, selection.after)
    return await parts.dead_letters.replay_these(operator, selection.ids or ())


@router.delete("/{job_id}", status_code=204, responses=problems(*COMMON_PROBLEMS, 404, 409))
async def delete_dead_letter(job_id: str, operator: AsOperator, parts: AdminPartsOf) -> Response:
    """Delete a dead letter with everything that is stored of the job."""
    await parts.dead_letters.delete(operator, job_id)
    return Response(status_code=204)
