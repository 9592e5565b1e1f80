"""`/_penstock/jobs`: a client's own jobs."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.edge.api import CallerOf, PartsOf
from app.edge.documents import ALWAYS, JobDocument, JobList, answers_job, answers_response
from app.edge.jobs_view import pending_headers
from app.errors import Conflict, NotFound, Unauthenticated
from app.jobs.model import Job, JobStatus, owner_of
from app.jobs.record import Records
from app.openapi import bearer, problems
from app.problem_handlers import response_of
from app.problems import Reply, json_reply, problem
from app.rules.match import Caller

router = APIRouter(tags=["jobs"])

FRAMING = frozenset({b"content-length", b"transfer-encoding"})


@router.get("/jobs", response_model=JobList, responses=problems(*ALWAYS), openapi_extra=bearer(optional=False))
async def list_jobs(
    request: Request,
    parts: PartsOf,
    caller: CallerOf,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """The caller's own jobs, newest first; `before`: the last job of the page before."""
    if caller.subject is None:
        raise Unauthenticated("Only the owner of a token has a list of jobs.")
    jobs = await parts.records.list(owner_of(caller.issuer, caller.subject), limit, before)
    return response_of(json_reply(200, {"jobs": [parts.view.fields(job, request.scope) for job in jobs]}))


@router.get("/jobs/{job_id}", response_model=JobDocument, responses=answers_job(), openapi_extra=bearer())
async def get_job(job_id: str, request: Request, parts: PartsOf, caller: CallerOf) -> Response:
    """Where a job stands."""
    job = await _own_job(parts.records, job_id, caller)
    return response_of(json_reply(200, parts.view.fields(job, request.scope), pending_headers(job)))


@router.get("/jobs/{job_id}/response", response_class=Response, responses=answers_response(), openapi_extra=bearer())
async def get_response(job_id: str, request: Request, parts: PartsOf, caller: CallerOf) -> Response:
    """The app server's answer, as it was."""
    job = await _own_job(parts.records, job_id, caller)
    status = (b"penstock-job-status", job.status.value.encode())
    if not job.status.final:
        return response_of(json_reply(202, parts.view.fields(job, request.scope), [status, *pending_headers(job)]))
    if job.status is JobStatus.FAILED:
        failure = {"code": job.error_code, "message": job.error_message}
        return response_of(problem(502, job.error_message or "The job failed.", [status], error=failure))
    stored = await parts.records.response(job_id) if job.response_stored else None
    if stored is None or stored.body is None:
        why = "The job was canceled." if job.status is JobStatus.CANCELED else "The response was not kept."
        return response_of(problem(410, why, [status], stored=False))
    headers = [(name, value) for name, value in stored.headers if name not in FRAMING and name != b"cache-control"]
    framing = [(b"content-length", str(len(stored.body)).encode()), (b"cache-control", b"no-store"), status]
    return response_of(Reply(stored.status, [*headers, *framing], stored.body))


@router.delete("/jobs/{job_id}", status_code=204, responses=problems(*ALWAYS, 404, 409), openapi_extra=bearer())
async def cancel_job(job_id: str, parts: PartsOf, caller: CallerOf) -> Response:
    """Cancel a job that has not been sent."""
    job = await _own_job(parts.records, job_id, caller)
    if not await parts.records.cancel(job_id):
        raise Conflict(f"The job is {job.status}.")
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


async def _own_job(records: Records, job_id: str, caller: Caller) -> Job:
    """Another owner's job is not there, nor told from one that is not."""
    job = await records.get(job_id)
    if job is None or (job.owner and job.owner != owner_of(caller.issuer, caller.subject)):
        raise NotFound("There is no such job.")
    return job
