"""The data plane's contract, on a running edge, worker and sync."""

import asyncio
import io
import statistics
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any, cast

import aiohttp
import jwt
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.bounds import assert_arrived_in_order
from tests.support.granted_slots import assert_sent_at_slots
from tests.support.system import System, running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("edge")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def system(module_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    folder = tmp_path_factory.mktemp("edge")
    async with running(module_settings, folder, record_slots=True, PENSTOCK_RETRY_BASE_S="0.1") as system:
        await system.put_rule("strict", key_type="user", key_value="strict", limit=2, window_seconds=3600)
        await system.put_rule("soon", key_type="user", key_value="soon", limit=3, window_seconds=6)
        drain = {"limit": 50, "window_seconds": 1}
        deferring = {"key_type": "user", "limit": 1, "window_seconds": 3600, "on_limit": "defer", "drain": drain}
        for who in ("alice", "bob", "carol", "dave", "erin", "frank", "full"):
            await system.put_rule(who, **deferring, key_value=who, queue={"max_depth": 4 if who == "full" else 1000})
        await system.put_rule("paused", **deferring, key_value="paused", paused=True)
        await system.put_rule("full", **deferring, key_value="full", paused=True, queue={"max_depth": 4})
        await system.put_rule(
            "two-a", key_type="user", key_value="two", limit=3, window_seconds=3600, on_limit="defer", paused=True
        )
        await system.put_rule("anonymous", key_type="default", limit=1000, window_seconds=1)
        for who in ("strict", "soon", "alice", "frank", "full", "paused"):
            await system.rule_is_known(who, who)
        yield system


async def defer(system: System, who: str, target: str = "/x", **more: Any) -> str:  # noqa: ANN401
    """Spend the one live request, then defer one; the job's id."""
    await system.request("POST", "/first", who)
    answer = await system.request("POST", target, who, **more)
    assert answer.status == 202, answer
    return str(answer.json()["id"])


def interval(slots_s: list[float]) -> list[float]:
    """The times between slots."""
    return [later - earlier for earlier, later in pairwise(slots_s)]


async def test_an_allowed_request_is_forwarded_with_its_limits(system: System) -> None:
    answer = await system.request("POST", "/a/b?c=d%20e", "strict", data=b"body", headers={"X-Own": "1"})
    assert (answer.status, answer.headers["X-Echo"]) == (200, "/a/b?c=d%20e")
    assert answer.headers["RateLimit-Policy"] == '"strict";q=2;w=3600'
    assert answer.headers["RateLimit"].startswith('"strict";r=1;t=')
    assert "Retry-After" not in answer.headers
    (arrival,) = (a for a in await system.arrivals() if a["target"] == "/a/b?c=d%20e")
    headers = {name.lower(): value for name, value in arrival["headers"].items()}
    assert (arrival["method"], arrival["body"], headers["x-own"]) == ("POST", "body", "1")
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert headers["x-forwarded-host"] == f"127.0.0.1:{system.edge_port}"
    assert len(headers["x-request-id"]) == 32


async def test_a_refusal_says_all_that_it_should(system: System) -> None:
    for _ in range(3):
        answer = await system.request("GET", "/", "strict")
    assert answer.status == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    problem = answer.json()
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert (problem["status"], problem["violated-policies"]) == (429, ["strict"])
    retry_after = int(answer.headers["Retry-After"])
    assert 1700 <= retry_after <= 1800
    assert answer.headers["RateLimit"] == f'"strict";r=0;t={retry_after}'


async def test_retry_after_is_true_when_obeyed(system: System) -> None:
    statuses = [(await system.request("GET", "/", "soon")).status for _ in range(3)]
    refused = await system.request("GET", "/", "soon")
    assert (statuses, refused.status) == ([200, 200, 200], 429)
    await asyncio.sleep(int(refused.headers["Retry-After"]))
    assert (await system.request("GET", "/", "soon")).status == 200


async def test_twenty_five_requests(system: System) -> None:
    """The main job: 5 are forwarded, 20 deferred and drained at 10 a second, once, in order; each answer is kept.

    They are accepted at a drain rate that has time for the first of them alone, so that positions and times are known.
    """
    rule = {"key_type": "user", "key_value": "main", "limit": 5, "window_seconds": 60, "on_limit": "defer"}
    await system.put_rule("main", **rule, drain={"limit": 1, "window_seconds": 100})
    await system.rule_is_known("main", "main")
    answers = [await system.request("POST", f"/main/{number}", "main", data=f"{number}") for number in range(25)]
    assert [answer.status for answer in answers] == [200] * 5 + [202] * 20
    positions = [answer.json()["position"] for answer in answers[5:]]
    assert (positions[0], positions) == (1, sorted(positions))
    assert positions[-1] in {19, 20}, "the first may have been sent by then"
    etas = [answer.json()["eta_seconds"] for answer in answers[5:]]
    assert all(100 * (n - 1) - 10 < eta < 100 * n + 10 for n, eta in zip(positions, etas, strict=True))
    assert etas[-1] > etas[5] > etas[0]

    await system.put_rule("main", **rule, drain={"limit": 10, "window_seconds": 1})
    jobs = [await system.ended(answer.json()["id"], "main") for answer in answers[5:]]
    assert {job["status"] for job in jobs} == {"succeeded"}
    arrivals = [a for a in await system.arrivals() if a["target"].startswith("/main/")]
    assert_arrived_in_order([f"/main/{number}" for number in range(25)], arrivals)
    granted = system.granted("user:main")
    assert_sent_at_slots([a["clock"] for a in arrivals[5:]], granted, 10, 1)
    assert statistics.median(interval(granted)) == pytest.approx(0.1, abs=1e-4)
    for number, job in enumerate(jobs, 5):
        response = await system.request("GET", f"/_penstock/jobs/{job['id']}/response", "main")
        assert (response.status, response.headers["X-Echo"]) == (200, f"/main/{number}")
        assert response.body.startswith(b"answer ")
        assert response.headers["Penstock-Job-Status"] == "succeeded"


async def test_a_deferred_request_names_its_job(system: System) -> None:
    await system.request("POST", "/first", "paused")
    answer = await system.request("POST", "/later", "paused", data=b"x")
    assert answer.status == 202
    job = answer.json()
    assert answer.headers["Location"] == answer.headers["Operation-Location"] == job["links"]["self"]
    assert job["links"]["self"] == f"{system.url}/_penstock/jobs/{job['id']}"
    assert (job["status"], job["rule_id"], job["attempts"]) == ("queued", "paused", 0)
    assert (job["eta_known"], job["waiting_for"], job["resourceLocation"]) == (False, "paused", None)
    assert int(answer.headers["Retry-After"]) >= 1
    pending = await system.request("GET", f"/_penstock/jobs/{job['id']}/response", "paused")
    assert (pending.status, pending.headers["Penstock-Job-Status"]) == (202, "queued")
    assert "Retry-After" in pending.headers


async def test_jobs_are_their_owners(system: System) -> None:
    job = await defer(system, "alice")
    for path in (f"/_penstock/jobs/{job}", f"/_penstock/jobs/{job}/response", "/_penstock/jobs/0-" + "x" * 22):
        assert (await system.request("GET", path, "bob")).status == 404
        assert (await system.request("GET", path)).status == 404
    assert (await system.request("DELETE", f"/_penstock/jobs/{job}", "bob")).status == 404
    mine = (await system.request("GET", "/_penstock/jobs", "alice")).json()["jobs"]
    assert [found["id"] for found in mine] == [job]
    assert (await system.request("GET", "/_penstock/jobs", "nobody")).json() == {"jobs": [], "next": None}
    assert (await system.request("GET", "/_penstock/jobs")).status == 401


async def test_a_waiting_job_can_be_canceled(system: System) -> None:
    job = await defer(system, "paused")
    url = f"/_penstock/jobs/{job}"
    assert [(await system.request("DELETE", url, "paused")).status for _ in range(2)] == [204, 204]
    assert (await system.job(job, "paused"))["status"] == "canceled"
    gone = await system.request("GET", url + "/response", "paused")
    assert (gone.status, gone.headers["Penstock-Job-Status"]) == (410, "canceled")
    sent = await defer(system, "bob")
    await system.ended(sent, "bob")
    assert (await system.request("DELETE", f"/_penstock/jobs/{sent}", "bob")).status == 409


async def test_an_idempotency_key_is_one_job(system: System) -> None:
    headers = {"Idempotency-Key": '"key-1"'}
    assert (await system.request("POST", "/first", "carol", data=b"1", headers=headers)).status == 200
    answers = [
        await system.request("POST", "/pay", "carol", data=b"1", headers={"Idempotency-Key": key})
        for key in ('"key-2"', "key-2")
    ]
    assert len({answer.json()["id"] for answer in answers}) == 1
    job = answers[0].json()["id"]
    await system.ended(job, "carol")
    again = await system.request("POST", "/pay", "carol", data=b"1", headers={"Idempotency-Key": '"key-2"'})
    assert (again.status, again.json()["id"]) == (200, job)
    other = await system.request("POST", "/pay", "carol", data=b"2", headers={"Idempotency-Key": '"key-2"'})
    assert other.status == 422
    assert len([a for a in await system.arrivals() if a["target"] == "/pay"]) == 1
    for bad in ("x" * 256, '""'):
        answer = await system.request("POST", "/pay", "carol", data=b"1", headers={"Idempotency-Key": bad})
        assert answer.status == 400


async def test_a_failed_job_says_why(system: System) -> None:
    await system.put_rule(
        "fails",
        key_type="user",
        key_value="fails",
        limit=1,
        window_seconds=3600,
        on_limit="defer",
        drain={"limit": 100, "window_seconds": 1},
        queue={"max_attempts": 2},
    )
    await system.rule_is_known("fails", "fails")
    job = await defer(system, "fails", "/boom?status=500")
    ended = await system.ended(job, "fails")
    assert (ended["status"], ended["attempts"], ended["error"]["code"]) == ("failed", 2, "attempts_exhausted")
    response = await system.request("GET", f"/_penstock/jobs/{job}/response", "fails")
    assert (response.status, response.json()["error"]["code"]) == (502, "attempts_exhausted")
    attempts = [a["attempt"] for a in await system.arrivals() if a["target"] == "/boom?status=500"]
    assert attempts == ["1", "2"]


async def test_a_client_error_of_the_app_server_is_its_answer(system: System) -> None:
    job = await defer(system, "dave", "/missing?status=404")
    assert (await system.ended(job, "dave"))["status"] == "succeeded"
    assert (await system.request("GET", f"/_penstock/jobs/{job}/response", "dave")).status == 404


async def test_a_full_flow_refuses_now(system: System) -> None:
    await system.request("POST", "/first", "full")
    statuses = [(await system.request("POST", "/x", "full")).status for _ in range(6)]
    assert statuses == [202] * 4 + [429] * 2


async def test_no_credential_is_stored(system: System, queue_url: str) -> None:
    canary = "canary-" + "c" * 20
    headers = {"Cookie": canary, "X-Api-Key": canary, "Proxy-Authorization": canary}
    job = await defer(system, "paused", data=b"x", headers=headers)
    async with Redis.from_url(queue_url) as redis:
        stored = cast("bytes", await redis.get(f"{{q0}}:job:{job}"))
    assert b"/x" in stored
    assert canary.encode() not in stored
    assert b"Bearer" not in stored


async def test_a_large_body_streams_and_is_not_deferred(system: System) -> None:
    async def body(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 65536):
            yield b"x" * 65536

    forwarded = await system.request("POST", "/first", "erin", data=body(20 << 20))
    assert forwarded.status == 200
    assert (await system.request("POST", "/big", "erin", data=body(2 << 20))).status == 413
    assert (await system.request("POST", "/big", "erin", data=io.BytesIO(b"x" * ((1 << 20) + 1)))).status == 413
    assert (await system.request("POST", "/fits", "erin", data=io.BytesIO(b"x" * (1 << 20)))).status == 202


@pytest.mark.parametrize(
    ("values", "status", "challenge"),
    [
        (["Bearer"], 400, None),
        (["Bearer "], 400, None),
        (["Bearerabc.def.ghi"], 400, None),
        (["Bearer abc"], 401, 'Bearer error="invalid_token"'),
        (["Bearer abc.def.ghi"], 401, 'Bearer error="invalid_token"'),
        (["Basic dTpw"], 200, None),
        (["Bearer a", "Bearer b"], 400, None),
    ],
)
async def test_authorization_headers(system: System, values: list[str], status: int, challenge: str | None) -> None:
    headers = [("Authorization", value) for value in values]
    async with system.http.get(f"{system.url}/hello", headers=headers) as response:
        assert response.status == status
        assert response.headers.get("WWW-Authenticate") == challenge


async def test_tokens_that_are_not_ours(system: System) -> None:
    issuer = system.issuer
    now = int(time.time())
    forged = [
        issuer.token("u", exp=now - 60),
        issuer.token("u", exp=str(now + 60)),
        issuer.token("u", iss="another"),
        issuer.token("u", aud="another"),
        issuer.token("u", nbf=now + 3600),
        issuer.token(""),
        jwt.encode({"iss": "test", "aud": "penstock", "sub": "u", "exp": now + 60}, "k" * 32, "HS256", {"kid": "k1"}),
        jwt.encode({"iss": "test", "aud": "penstock", "sub": "u", "exp": now + 60}, "", "none", {"kid": "k1"}),
        issuer.token("u")[:-6] + "AAAAAA",
    ]
    for token in forged:
        answer = await system.request("GET", "/forged", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 401, token
    assert not [a for a in await system.arrivals() if a["target"] == "/forged"]


@pytest.mark.parametrize("path", ["/a/../b", "/a/%2e%2e/b", "/a%00b", "/a%5cb", "/./a"])
async def test_paths_that_could_be_another(system: System, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", system.edge_port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_what_is_ours_to_say_is_not_the_clients(system: System) -> None:
    headers = {
        "Penstock-Identity": "forged",
        "X-Forwarded-For": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X_Forwarded_For": "6",
    }
    await system.request("GET", "/spoofed", headers=headers)
    (arrival,) = (a for a in await system.arrivals() if a["target"] == "/spoofed")
    seen = {name.lower(): value for name, value in arrival["headers"].items()}
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert not {"penstock-identity", "forwarded", "x_forwarded_for"} & seen.keys()


async def test_what_applies_to_me(system: System) -> None:
    limits = (await system.request("GET", "/_penstock/limits", "frank")).json()["limits"]
    assert [(one["rule_id"], one["limit"], one["remaining"]) for one in limits] == [("frank", 1, 1)]
    again = (await system.request("GET", "/_penstock/limits", "frank")).json()["limits"]
    assert again == limits, "it spends nothing"


async def test_health_and_metrics(system: System) -> None:
    assert (await system.request("GET", "/_penstock/healthz")).status == 200
    assert (await system.request("GET", "/_penstock/readyz")).json()["status"] == "ready"
    assert (await system.request("GET", "/_penstock/nothing")).status == 404
    edge = next(part for part in system.parts if part.role == "edge")
    async with system.http.get(f"{edge.ops_url}/metrics") as response:
        text = await response.text()
    assert 'penstock_requests_total{decision="defer"}' in text


async def test_a_client_that_goes_away_is_noticed(system: System) -> None:
    edge = next(part for part in system.parts if part.role == "edge")
    with pytest.raises(TimeoutError):
        await system.request("GET", "/gone?delay_ms=20000", timeout=aiohttp.ClientTimeout(total=0.5))

    async def noticed() -> bool:
        async with system.http.get(f"{edge.ops_url}/metrics") as response:
            return 'penstock_requests_total{decision="client_gone"}' in await response.text()

    await eventually(noticed, 10, "the edge noticed")
