"""Both APIs do what their OpenAPI documents say: schemathesis against real processes, and jobs as they really are."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis

from app.settings import Settings
from tests.support.ports import free_port
from tests.support.system import System, running
from tests.support.waiting import eventually

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
OUR_CHECKS = Path(__file__).with_name("schemathesis.toml")
NOT_IN_A_SCHEMA = "positive_data_acceptance"
"""Not checked, for JSON Schema can't say all that is refused: a cost above the burst, a network that is none."""

RULE: dict[str, Any] = {
    "key_type": "user",
    "key_value": "*",
    "limit": 1,
    "window_seconds": 3600,
    "on_limit": "defer",
    "drain": {"limit": 100, "window_seconds": 1},
    "queue": {"max_attempts": 1},
}


class Apis:
    """The admin API and an edge of one system."""

    def __init__(self, system: System, admin_port: int) -> None:
        self.system = system
        self.admin_url = f"http://127.0.0.1:{admin_port}"
        self.documents = {
            "admin": f"{self.admin_url}/openapi.json",
            "data plane": f"{system.url}/_penstock/openapi.json",
        }
        self._schemas: dict[str, Any] = {}

    def token(self, api: str) -> dict[str, str]:
        if api == "data plane":
            return self.system.auth("u")
        token = self.system.issuer.token("ops", aud="penstock-admin", penstock_role="admin")
        return {"Authorization": f"Bearer {token}"}

    async def answers_as_documented(self, api: str, method: str, path: str, status: int, **parameters: str) -> None:
        """A case of schemathesis with these path parameters."""
        await self.answers_case_as_documented(api, method, path, status, parameters)

    async def answers_case_as_documented(
        self,
        api: str,
        method: str,
        path: str,
        status: int,
        parameters: dict[str, str],
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """A case of schemathesis with these parameters of its path and query, and these headers besides the token."""

        def call() -> int:
            if api not in self._schemas:
                self._schemas[api] = schemathesis.openapi.from_url(self.documents[api])
            case = self._schemas[api][path][method].Case(path_parameters=parameters, query=query or {})
            excluded = [schemathesis.checks.not_a_server_error] if status >= 500 else []
            sent = self.token(api) | (headers or {})
            found: int = case.call_and_validate(headers=sent, excluded_checks=excluded).status_code
            return found

        assert await asyncio.to_thread(call) == status


@pytest.fixture
async def apis(settings: Settings, tmp_path: Path) -> AsyncIterator[Apis]:
    async with running(settings, tmp_path, workers=1, PENSTOCK_BAD_TOKENS_PER_MINUTE="1000000") as system:
        port = free_port()
        await system.ready(system.spawn("admin", "--port", str(port)))
        yield Apis(system, port)


@pytest.mark.parametrize("api", ["admin", "data plane"])
async def test_schemathesis_finds_nothing(apis: Apis, tmp_path: Path, api: str) -> None:
    everything = ["--phases", "examples,coverage,fuzzing,stateful"]
    coverage = ["--phases", "coverage"]
    for authorization, options in [
        (apis.token(api)["Authorization"], everything),
        ("", coverage),
        ("Bearer x.y.z", coverage),
    ]:
        header = [f"--header=Authorization: {authorization}"] if authorization else []
        report, found = await _schemathesis(tmp_path, apis.documents[api], *options, *header)
        assert found == 0, report
        assert "✅ Coverage" in report, report


async def _schemathesis(folder: Path, document: str, *options: str) -> tuple[str, int]:
    always = ["--exclude-checks", NOT_IN_A_SCHEMA, "--max-examples", "10", "--request-timeout", "10"]
    always += ["--continue-on-failure", "--no-color"]
    is_same = hypothesis.settings().derandomize  # as the examples of other tests (tests/support/examples.py)
    always += ["--generation-deterministic"] if is_same else ["--generation-database", "none"]
    process = await asyncio.create_subprocess_exec(
        *(str(SCHEMATHESIS), "--config-file", str(OUR_CHECKS), "run", document, *always, *options),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 600)
    assert process.returncode is not None
    return output.decode(), process.returncode


TOO_LONG = "x" * (33 << 10)
"""More than `PENSTOCK_MAX_HEADER_BYTES`."""


async def test_what_is_too_long_or_not_supported_is_answered_as_documented(apis: Apis) -> None:
    too_large = {"Content-Length": str(200 << 20), "Connection": "close"}
    for api, path, parameters in [
        ("admin", "/v1/flows/{flow_id}", {"flow_id": "f"}),
        ("admin", "/v1/rules/{rule_id}", {"rule_id": "r"}),
        ("admin", "/v1/status", {}),
        ("data plane", "/_penstock/jobs/{job_id}", {"job_id": "j"}),
        ("data plane", "/_penstock/readyz", {}),
    ]:
        for name in parameters:
            await apis.answers_case_as_documented(api, "GET", path, 414, {name: TOO_LONG})
        await apis.answers_case_as_documented(api, "GET", path, 414, parameters, query={"search": TOO_LONG})
        for status, headers in [
            (431, {"X-Long": TOO_LONG}),
            (431, {f"X-{number}": "x" for number in range(101)}),
            (400, {"Content_Length": "1"}),
            (501, {"Upgrade": "websocket"}),
            (413, too_large),
        ]:
            await apis.answers_case_as_documented(api, "GET", path, status, parameters, headers=headers)


async def test_jobs_are_answered_as_documented(apis: Apis) -> None:
    system, status = apis.system, "/_penstock/jobs/{job_id}"
    await system.put_rule("r", **RULE)
    await system.rule_is_known("r", "u")
    await system.request("GET", "/-/x", "u")
    succeeded, failed = await _deferred(system, "/ok"), await _deferred(system, "/x?status=500")
    for job_id in (succeeded, failed):
        await system.ended(job_id, "u")
    await apis.answers_as_documented("data plane", "GET", status, 200, job_id=succeeded)
    await apis.answers_as_documented("data plane", "GET", f"{status}/response", 200, job_id=succeeded)
    await apis.answers_as_documented("data plane", "DELETE", status, 409, job_id=succeeded)
    await apis.answers_as_documented("data plane", "GET", f"{status}/response", 502, job_id=failed)
    await apis.answers_as_documented("data plane", "GET", "/_penstock/jobs", 200)
    await apis.answers_as_documented("data plane", "GET", "/_penstock/limits", 200)
    letters = "/v1/dead-letters/{job_id}"
    await apis.answers_as_documented("admin", "GET", "/v1/dead-letters", 200)
    await apis.answers_as_documented("admin", "GET", letters, 200, job_id=failed)
    await apis.answers_as_documented("admin", "GET", letters, 409, job_id=succeeded)
    await apis.answers_as_documented("admin", "POST", "/v1/rules/{rule_id}/drain/pause", 200, rule_id="r")
    await eventually(lambda: _paused(system), 30, "the pause is known to the worker")
    await apis.answers_as_documented("admin", "POST", f"{letters}/replay", 202, job_id=failed)
    await apis.answers_as_documented("data plane", "GET", status, 200, job_id=failed)
    await apis.answers_as_documented("data plane", "GET", f"{status}/response", 202, job_id=failed)
    await apis.answers_as_documented("data plane", "DELETE", status, 204, job_id=failed)
    await apis.answers_as_documented("data plane", "GET", f"{status}/response", 410, job_id=failed)
    await apis.answers_as_documented("admin", "GET", "/v1/rules/{rule_id}/history", 200, rule_id="r")


async def _deferred(system: System, target: str) -> str:
    answer = await system.request("GET", target, "u")
    assert answer.status == 202, answer.body
    return str(answer.json()["id"])


async def _paused(system: System) -> bool:
    """A new job waits, and nobody knows how long: the worker has parked its flow."""
    job = await system.job(await _deferred(system, "/ok"), "u")
    return (job["status"], job["eta_seconds"]) == ("queued", None)
