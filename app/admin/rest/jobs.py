"""`/v1/jobs`: finds jobs, shows one with its timeline, and cancels one."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.admin.rest.auth import AsOperator, AsViewer
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.rest.schemas import COMMON_PROBLEMS
from app.admin.services.jobs_model import JobDocument, JobPage, JobQuery
from app.web.openapi import problems

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("", responses=problems(*COMMON_PROBLEMS))
async def list_jobs(operator: AsViewer, parts: AdminPartsOf, query: Annotated[JobQuery, Query()]) -> JobPage:
    """Find jobs in every status: those that have not ended, and the outcomes of the last hour.

    The outcomes are those of all rules, at most the last 100,000 of each partition. With `owner` or `subject` also
    those whose records are kept for longer are found. `next` is the `after` of the next page, and null on the last
    page. A page may be short, and even empty, although others follow: one request looks at a bounded number of jobs.
    """
    return await parts.jobs.page(operator, query)


@router.get("/{job_id}", responses=problems(*COMMON_PROBLEMS, 404))
async def get_job(
    job_id: str,
    operator: AsViewer,
    parts: AdminPartsOf,
    contents: Annotated[bool, Query(description="Whether its request and response are wanted.")] = True,
) -> JobDocument:
    """Show a job: its timeline with each attempt, and why it waits.

    Request and response are shown to operators and admins only, and stored credentials to nobody.
    """
    return await parts.jobs.get(operator, job_id, contents)


@router.delete("/{job_id}", status_code=204, responses=problems(*COMMON_PROBLEMS, 404, 409))
async def cancel_job(job_id: str, operator: AsOperator, parts: AdminPartsOf) -> Response:
    """Cancel a job that has not been sent. One that is canceled already stays so."""
    await parts.jobs.cancel(operator, job_id)
    return Response(status_code=204)
