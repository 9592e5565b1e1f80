"""`/_penstock/jobs`: a caller's own jobs."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.edge.documents import ALWAYS, JobDocument, JobList, answers_job, answers_response
from app.edge.job_renderer import pending_headers
from app.edge.routes.dependencies import CallerOf, PartsOf, UncountedCallerOf
from app.errors import Conflict, NotFound, Unauthenticated
from app.identity.caller import Caller
from app.jobs.model import Job, JobStatus, StoredResponse, owner_of
from app.queue.records import CURSOR, Records
from app.web.head_requests import IS_HEAD
from app.web.headers import Headers, value_of
from app.web.openapi import bearer, problems
from app.web.problem_handlers import response_of
from app.web.problems import Reply, json_reply, problem
from app.web.statuses import NO_CONTENT, WITHOUT_BODY

router = APIRouter(tags=["jobs"])

OWN: Headers = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox"),
]
"""What a replayed answer gets: no cache keeps it, and a browser that opens it runs nothing in it."""

REPLACED = frozenset({b"content-length", b"transfer-encoding", b"cache-control", b"x-content-type-options"})
FOR_OWNERS = frozenset({b"set-cookie", b"set-cookie2", b"clear-site-data"})
"""What changes the state of the site in a browser: only the owner of a job may get it, nobody else with its link."""

JOBS_A_POLL = 10
"""How many jobs of a page count as one request for the poll limit."""


@router.get("/jobs", response_model=JobList, responses=problems(*ALWAYS), openapi_extra=bearer(optional=False))
async def list_jobs(
    request: Request,
    parts: PartsOf,
    caller: UncountedCallerOf,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[str | None, Query(pattern=CURSOR)] = None,
) -> Response:
    """List the caller's own jobs, newest first; `next` is the URL of the next page, null on the last.

    For the poll limit a page counts as one request for each ten jobs of its `limit`.
    """
    parts.poll_limit.spend(caller, -(-limit // JOBS_A_POLL))
    if caller.subject is None:
        raise Unauthenticated("Only the owner of a token has a list of jobs.")
    page = await parts.records.page(owner_of(caller.issuer, caller.subject), limit, before)
    jobs: list[dict[str, Any]] = []
    for first in range(0, len(page.jobs), JOBS_A_POLL):
        jobs += parts.job_renderer.documents(page.jobs[first : first + JOBS_A_POLL], request.scope)
        await asyncio.sleep(0)  # so that nobody waits for a page of another caller
    following = page.next and parts.job_renderer.page_url(request.scope, limit, page.next)
    return response_of(json_reply(200, {"jobs": jobs, "next": following}))


@router.get("/jobs/{job_id}", response_model=JobDocument, responses=answers_job(), openapi_extra=bearer())
async def get_job(job_id: str, request: Request, parts: PartsOf, caller: CallerOf) -> Response:
    """Show a job: its status, position and ETA."""
    job = await _own_job(parts.records, job_id, caller)
    return response_of(json_reply(200, parts.job_renderer.fields(job, request.scope), pending_headers(job)))


@router.get("/jobs/{job_id}/response", response_class=Response, responses=answers_response(), openapi_extra=bearer())
async def get_response(job_id: str, request: Request, parts: PartsOf, caller: CallerOf) -> Response:
    """Replay the app server's response to a job."""
    job = await _own_job(parts.records, job_id, caller)
    status = (b"penstock-job-status", job.status.value.encode())
    if not job.status.final:
        return response_of(
            json_reply(202, parts.job_renderer.fields(job, request.scope), [status, *pending_headers(job)])
        )
    if job.status is JobStatus.FAILED:
        failure = {"code": job.error_code, "message": job.error_message}
        code = 410 if job.error_code == "expired" else 502  # it waited for too long, which is no app server's failure
        return response_of(problem(code, job.error_message or "The job failed.", [status], error=failure))
    stored = await parts.records.response(job_id) if job.response_stored else None
    if stored is None or stored.body is None:
        why = "The job was canceled." if job.status is JobStatus.CANCELED else "The response was not kept."
        return response_of(problem(410, why, [status], stored=False))
    headers = [*_kept(stored.headers, to_owner=bool(job.owner)), *_length(stored, is_head=IS_HEAD in request.scope)]
    return response_of(Reply(stored.status, [*headers, *OWN, status], stored.body))


def _kept(headers: Headers, *, to_owner: bool) -> Headers:
    """The headers that are replayed."""
    return [
        (name, value)
        for name, value in headers
        if name not in REPLACED and (to_owner or name not in FOR_OWNERS) and not _is_cors(name)
    ]


def _is_cors(name: bytes) -> bool:
    """Whether a header said which pages may read the answer, other than which headers: of a replay we say that."""
    return name.startswith(b"access-control-") and name != b"access-control-expose-headers"


def _length(stored: StoredResponse, *, is_head: bool) -> Headers:
    """The `Content-Length`. One without a body belongs to what HEAD or 304 left out, and is no length of a replay."""
    declared = value_of(stored.headers, b"content-length")
    if stored.body:
        length = str(len(stored.body)).encode()
    elif declared is None or stored.status == NO_CONTENT:
        return []
    elif declared == b"0" or is_head or stored.status in WITHOUT_BODY:
        length = declared
    else:
        return []
    return [(b"content-length", length)]


@router.delete("/jobs/{job_id}", status_code=204, responses=problems(*ALWAYS, 404, 409), openapi_extra=bearer())
async def cancel_job(job_id: str, parts: PartsOf, caller: CallerOf) -> Response:
    """Cancel a job that has not been sent."""
    job = await _own_job(parts.records, job_id, caller)
    if not await parts.records.cancel(job_id):
        job = await _own_job(parts.records, job_id, caller)  # it has changed since
        raise Conflict(f"The job is {job.status}.")
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


async def _own_job(records: Records, job_id: str, caller: Caller) -> Job:
    """The job if the caller may see it. Somebody else's job looks like a job that does not exist (NotFound)."""
    job = await records.get(job_id)
    if job is None or (job.owner and job.owner != owner_of(caller.issuer, caller.subject)):
        raise NotFound("There is no such job.")
    return job
