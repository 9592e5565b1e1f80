"""Jobs as clients see them."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.jobs.model import Job, JobStatus
from app.problems import Reply, json_reply, retry_after
from app.settings import Settings

LONGEST_RETRY_AFTER_S = 30
UNKNOWN_RETRY_AFTER_S = 5


class JobView:
    """Writes jobs; absolute URLs come from `PENSTOCK_PUBLIC_URL`, else from the request."""

    def __init__(self, settings: Settings) -> None:
        self._public_url = str(settings.public_url).rstrip("/") if settings.public_url else None

    def url(self, job_id: str, scope: Mapping[str, Any]) -> str:
        """The job's address."""
        base = self._public_url
        if base is None:
            host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "localhost")
            base = f"{scope['scheme']}://{host}"
        return f"{base}/_penstock/jobs/{job_id}"

    def fields(self, job: Job, scope: Mapping[str, Any]) -> dict[str, Any]:
        """The job as JSON."""
        url = self.url(job.id, scope)
        links = {"self": url, "response": f"{url}/response", "cancel": url, "events": f"{url}/events"}
        answered = job.response_status is not None
        return {
            "id": job.id,
            "status": job.status,
            "position": job.position,
            "eta_seconds": None if job.eta_s is None else round(job.eta_s, 3),
            "eta_known": job.eta_s is not None,
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
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        repeated: bool = False,
    ) -> Reply:
        """202 with the job; 200 for one known by its idempotency key that has ended."""
        url = self.url(job.id, scope).encode()
        where = [(b"location", url), (b"operation-location", url), *pending_headers(job), *headers]
        return json_reply(200 if repeated and job.status.final else 202, self.fields(job, scope), where)


def pending_headers(job: Job) -> list[tuple[bytes, bytes]]:
    """When a look at a pending job may be worth it."""
    if job.status.final:
        return []
    eta_s = 1.0 if job.status is JobStatus.RUNNING else job.eta_s
    return [retry_after(min(UNKNOWN_RETRY_AFTER_S if eta_s is None else math.ceil(eta_s), LONGEST_RETRY_AFTER_S))]


def _time(unix_ms: int | None) -> str | None:
    if unix_ms is None:
        return None
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
