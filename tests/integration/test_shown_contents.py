"""What the admin API shows of a job's request and response: nothing to viewers, and credentials to nobody."""

import base64

import pytest
from redis.asyncio import Redis

from app.jobs.model import JobStatus, StoredRequest, StoredResponse
from app.queue.dead_letters import DeadLetters
from app.queue.flows import Flows
from app.queue.model import Deferral, FrozenCharge, LeasedJob, Settlement
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.admin_in_process import Admin, admin_running
from tests.support.flow_steps import accepted, active, lease, take

KEY = {"envelope_keys": {"k": bytes(32)}}
SECRETS = [
    (b"authorization", b"Bearer s3cret"),
    (b"Authorization", b"Basic s3cret"),
    (b"cookie", b"session=s3cret"),
    (b"proxy-authorization", b"Basic s3cret"),
    (b"x-api-key", b"s3cret"),
    (b"x_api_key", b"s3cret"),
]
COOKIES = [(b"set-cookie", b"session=s3cret"), (b"Set-Cookie", b"other=s3cret")]


@pytest.fixture
def sealing(settings: Settings) -> Settings:
    return settings.model_copy(update=KEY)


async def dead_letter(queue: Redis, queueing: Scripts, sealing: Settings) -> str:
    """A failed job of a rule that keeps credentials, whose app server set cookies."""
    flows = Flows(queue, queueing, sealing)
    await flows.prepare()
    request = StoredRequest("POST", b"/x?q", [*SECRETS, (b"content-type", b"text/plain")], b"body", ("iss", "u"))
    rule = active(queue={"keep_credentials": True})
    job_id = await accepted(flows, Deferral(rule, (FrozenCharge("r", "user:u", 1),), "own", request, seal=True))
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    assert job.request == request, "the worker sends it with its credentials"
    await flows.settle([_failed(job)])
    return job_id


def _failed(job: LeasedJob) -> Settlement:
    answer = StoredResponse(500, [*COOKIES, (b"x-why", b"bug")], b"broken")
    return Settlement(job, JobStatus.FAILED, "attempts_exhausted", "The app server answered 500.", answer)


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
async def test_stored_credentials_are_shown_to_nobody_and_contents_to_operators(
    sealing: Settings, cache: Redis, queue: Redis, counting: Scripts, queueing: Scripts, role: str
) -> None:
    job_id = await dead_letter(queue, queueing, sealing)
    decrypted = await DeadLetters(queue, queueing, sealing).get(job_id)
    assert decrypted.request is not None
    assert SECRETS[0] in decrypted.request.headers, "this process has the key, so it could show them"
    async with admin_running(sealing.mongodb_url, cache, queue, counting, queueing, **KEY) as admin:
        answers = [await admin("GET", path, role=role) for path in ("/v1/dead-letters", f"/v1/dead-letters/{job_id}")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert not [answer.text for answer in answers if "s3cret" in answer.text]
    found = answers[1].json()
    assert found["error"]["code"] == "attempts_exhausted"
    if role == "viewer":
        assert (found["request"], found["response"]) == (None, None)
    else:
        assert (found["request"]["method"], found["request"]["target"]) == ("POST", "/x?q")
        assert found["request"]["headers"] == [["content-type", "text/plain"]]
        assert base64.b64decode(found["request"]["body"]) == b"body"
        assert found["response"]["headers"] == [["x-why", "bug"]]


async def test_without_the_key_a_sealed_request_is_not_shown_at_all(
    admin: Admin, queue: Redis, queueing: Scripts, sealing: Settings
) -> None:
    job_id = await dead_letter(queue, queueing, sealing)
    found = (await admin("GET", f"/v1/dead-letters/{job_id}", role="admin")).json()
    assert found["request"] is None
    assert found["response"]["status"] == 500
