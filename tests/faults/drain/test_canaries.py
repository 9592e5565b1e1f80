"""No credential of a caller is in the queue's files, nor in any log."""

from pathlib import Path
from typing import Any

from app.settings import Settings
from tests.support.draining import RULE
from tests.support.stores import own_queue
from tests.support.system import System, running
from tests.support.waiting import eventually

SECRETS = {
    "Cookie": "session=canary-cookie",
    "X-Api-Key": "canary-api-key",
    "Proxy-Authorization": "Basic canary-proxy",
    "X-Session": "canary-dropped-by-the-rule",
}
ORDINARY = "canary-ordinary"


async def test_credentials_are_written_nowhere(settings: Settings, tmp_path: Path) -> None:
    """Whatever becomes of the job: it succeeds, fails for good, is canceled; and the logs say all that they can."""
    with own_queue(tmp_path / "queue.log", tmp_path / "queue") as queue:
        own: Any = settings.model_copy(update={"queue_redis_url": queue.url})
        debug: Any = {"PENSTOCK_LOG_LEVEL": "debug", "PENSTOCK_RETRY_BASE_S": "0.1", "PENSTOCK_RETRY_MAX_S": "0.1"}
        async with running(own, tmp_path, **debug) as system:
            rule = RULE | {"queue": {"drop_headers": ["X-SESSION"], "max_attempts": 2}}
            await system.put_rule("r", **rule)
            await system.put_rule("paused", **rule | {"paused": True, "priority": 1, "match": {"path_prefix": "/p"}})
            await system.rule_is_known("r", "u")
            await eventually(lambda: says_of_p(system, "paused"), 30, "the rule of /p is known")
            token = system.auth("u")["Authorization"]
            for target, becomes in {"/fine": "succeeded", "/bad?status=500": "failed", "/p": "canceled"}.items():
                assert await outcome(system, target, token) == becomes
            arrived = [lowered(arrival["headers"]) for arrival in await system.arrivals() if arrival["job"]]
        written = all_written(tmp_path)
        assert ORDINARY.encode() in written["queue"], "what is kept is in the files that are looked through"
        assert b"rules_copied" in written["logs"], "and so are the logs"
        assert {headers["x-ordinary"] for headers in arrived} == {ORDINARY}
        assert not {"authorization", *lowered(SECRETS)} & {name for headers in arrived for name in headers}
        for secret in (token.removeprefix("Bearer "), *SECRETS.values()):
            for where, content in written.items():
                assert secret.encode() not in content, f"{secret} is in the {where}"


async def says_of_p(system: System, rule_id: str) -> bool:
    answers = [answer.body.decode() async for answer in system.of_every_edge("u", "/_penstock/limits?path=/p")]
    return all(rule_id in answer for answer in answers)


async def outcome(system: System, target: str, token: str) -> str:
    """What becomes of a request with all the credentials there are, once it is deferred."""
    headers = SECRETS | {"X-Ordinary": ORDINARY, "Authorization": token}
    answer = await system.request("POST", target, headers=headers)
    if answer.status != 202:  # within the limit
        answer = await system.request("POST", target, headers=headers)
    assert answer.status == 202
    job = answer.json()["id"]
    if target == "/p":
        assert (await system.request("DELETE", f"/_penstock/jobs/{job}", "u")).status == 204
    return str((await system.ended(job, "u"))["status"])


def lowered(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def all_written(folder: Path) -> dict[str, bytes]:
    """The files of the queue Redis, and the logs of all processes. The app server's ledger is none of ours."""
    queue = [file for file in (folder / "queue").rglob("*") if file.is_file()]
    return {
        "queue": b"".join(file.read_bytes() for file in queue),
        "logs": b"".join(file.read_bytes() for file in folder.glob("*.log")),
    }
