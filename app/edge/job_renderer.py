"""Jobs in the form that clients see: JSON documents, their addresses, and the headers of a pending job."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from app.decision import RuleResult
from app.edge.rate_limit_headers import rate_limit
from app.http1.server.origin import origin_of
from app.jobs.model import Job, JobStatus
from app.settings import Settings
from app.web.problems import Reply, json_reply, retry_after

LONGEST_RETRY_AFTER_S = 30
UNKNOWN_RETRY_AFTER_S = 5


class JobRenderer:
    """Renders jobs. Absolute URLs begin with `PENSTOCK_PUBLIC_URL`, else with what the request in `scope` says.

    `trusts` tells whether a peer is a trusted proxy, which may report the scheme and the host that the client used.
    """

    def __init__(self, settings: Settings, trusts: Callable[[str], bool]) -> None:
        self._public_url = str(settings.public_url).rstrip("/") if settings.public_url else None
        self._trusts = trusts

    def url(self, job_id: str, scope: Mapping[str, Any]) -> str:
        """The absolute URL of a job."""
        return f"{self._jobs_url(scope)}/{job_id}"

    def page_url(self, scope: Mapping[str, Any], limit: int, cursor: str) -> str:
        """The absolute URL of the page of jobs that begins after this cursor."""
        return f"{self._jobs_url(scope)}?limit={limit}&before={cursor}"

    def _jobs_url(self, scope: Mapping[str, Any]) -> str:
        return f"{self._public_url or self._origin(scope)}/_penstock/jobs"

    def _origin(self, scope: Mapping[str, Any]) -> str:
        client = scope["client"]
        return origin_of(scope, client is not None and self._trusts(client[0]))

    def fields(self, job: Job, scope: Mapping[str, Any]) -> dict[str, Any]:
        """The job as JSON."""
        return self._fields(job, self.url(job.id, scope))

    def documents(self, jobs: Sequence[Job], scope: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Each of these jobs as JSON."""
        jobs_url = self._jobs_url(scope)
        return [self._fields(job, f"{jobs_url}/{job.id}") for job in jobs]

    def _fields(self, job: Job, url: str) -> dict[str, Any]:
        links = {"self": url, "response": f"{url}/response", "cancel": url}
        answered = job.response_status is not None
        return {
            "id": job.id,
            "status": job.status,
            "position": job.position,
            "eta_seconds": None if job.eta_s is None else round(job.eta_s, 3),
            "eta_known": job.eta_s is not None,
            "waiting_for": job.waiting_for,
            "attempts": job.attempts,
            "rule_id": job.rule_id,
            "submitted_at": _time(job.submitted_at_ms),
            "started_at": _time(job.started_at_ms),
            "finished_at": _time(job.finished_at_ms),
            "expires_at": _time(job.expires_at_ms),
            "response": {"status": job.response_status, "stored": job.response_stored} if answered else None,
            "error": {"code": job.error_code, "message": job.error_message} if job.error_code else None,
            "resourceLocation": f"{url}/response" if job.status.final else None,
            "links": links,
        }

    def accepted(
        self,
        job: Job,
        scope: Mapping[str, Any],
        results: Sequence[RuleResult] = (),
        *,
        repeated: bool = False,
    ) -> Reply:
        """Build the reply to a deferred request: 202 with the job; 200 if it repeats one whose job has ended."""
        url = self.url(job.id, scope)
        after_s = poll_after_s(job)
        headers = [
            (b"location", url.encode()),
            (b"operation-location", url.encode()),
            (b"penstock-job-id", job.id.encode()),
            (b"penstock-job-status", job.status.value.encode()),
        ]
        if after_s is not None:
            headers.append(retry_after(after_s))
        headers += rate_limit(results, retry_after_s=math.inf if after_s is None else after_s)
        return json_reply(200 if repeated and after_s is None else 202, self._fields(job, url), headers)


def poll_after_s(job: Job) -> int | None:
    """In how many whole seconds a client should ask for a pending job again; None if the job is final."""
    if job.status.final:
        return None
    eta_s = 1.0 if job.status is JobStatus.RUNNING else job.eta_s
    return min(UNKNOWN_RETRY_AFTER_S if eta_s is None else max(1, math.ceil(eta_s)), LONGEST_RETRY_AFTER_S)


def pending_headers(job: Job) -> list[tuple[bytes, bytes]]:
    """The `Retry-After` of a pending job; nothing for a final one."""
    after_s = poll_after_s(job)
    return [] if after_s is None else [retry_after(after_s)]


def _time(unix_ms: int | None) -> str | None:
    return None if unix_ms is None else f"{_second(unix_ms // 1000)}.{unix_ms % 1000:03d}Z"


@lru_cache(maxsize=64)
def _second(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
