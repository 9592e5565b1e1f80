"""No credential of a caller is in the queue's files or in any log, unless it is encrypted."""

import base64
from pathlib import Path

from tests.faults.drain.killable import killable_stores
from tests.faults.drain.test_kills import RULE
from tests.system import running

SECRETS = {
    "Cookie": "canary-cookie",
    "X-Api-Key": "canary-api-key",
    "Proxy-Authorization": "canary-proxy",
    "X-Session": "canary-dropped",
}
KEY = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")


async def test_credentials_are_written_nowhere(tmp_path: Path) -> None:
    async with (
        killable_stores(tmp_path) as stores,
        running(stores.settings(), tmp_path, PENSTOCK_ENVELOPE_KEYS=f"k:{KEY}") as system,
    ):
        queue = {"drop_headers": ["x-session"]}
        await system.put_rule("r", **RULE | {"queue": queue})
        sealed = RULE | {"priority": 1, "match": {"path_prefix": "/sealed"}}
        await system.put_rule("s", **sealed | {"queue": queue | {"keep_credentials": True}})
        await system.rule_is_known("r", "u")
        headers = SECRETS | {"X-Ordinary": "canary-ordinary"}
        token = system.auth("u")["Authorization"].encode()
        for path in ("/plain", "/sealed"):
            first = await system.request("POST", path, headers=headers | {"Authorization": token.decode()})
            assert first.status == 200
            deferred = await system.request("POST", path, headers=headers | {"Authorization": token.decode()})
            assert deferred.status == 202
            await system.ended(deferred.json()["id"], "u")
        by_path = {a["target"]: a["headers"] for a in await system.arrivals() if a["job"]}
        assert by_path["/sealed"]["Cookie"] == SECRETS["Cookie"], "what was kept is sent"
        assert by_path["/sealed"]["Authorization"].encode() == token
        assert not {"Cookie", "Authorization", "X-Api-Key", "X-Session"} & by_path["/plain"].keys()
        content = all_written(tmp_path)
        assert b"canary-ordinary" in content, "the right files are looked through"
        for secret in (*(secret.encode() for secret in SECRETS.values()), token.removeprefix(b"Bearer ")):
            assert secret not in content


def all_written(folder: Path) -> bytes:
    """The logs of all processes, and the files of the queue Redis."""
    files = (file for file in folder.rglob("*") if file.is_file() and "mongodb" not in file.parts)
    return b"".join(file.read_bytes() for file in files)
