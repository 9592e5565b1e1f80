"""The Penstock that is measured, and its rules."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.settings import Settings
from tests.benchmarks.errors import require
from tests.support.system import System, running
from tests.support.waiting import eventually

NEVER_THE_BOUND = {"limit": 1_000_000, "window_seconds": 1}
USED_UP_AT_ONCE = {"limit": 1, "window_seconds": 3600}
USERS = [f"user-{number}" for number in range(16)]
BODY = "x" * 400


@asynccontextmanager
async def penstock(
    settings: Settings, place: Path, upstream: str, poll_limit_per_s: int = 100_000
) -> AsyncIterator[System]:
    """Run an edge and sync in front of this app server, with rules for users and addresses and `Penstock-Identity`."""
    key_file = str(_new_identity_key(place))
    async with running(
        settings, place, workers=0, PENSTOCK_UPSTREAMS=upstream, PENSTOCK_IDENTITY="required",
        PENSTOCK_IDENTITY_KEY_FILE=key_file, PENSTOCK_POLL_LIMIT_PER_S=str(poll_limit_per_s),
    ) as system:  # fmt: skip
        await system.put_rule("ip", key_type="ip", key_value="*", **NEVER_THE_BOUND)
        await put_user_rule(system, "allowed", **NEVER_THE_BOUND)
        yield system


def _new_identity_key(place: Path) -> Path:
    place.mkdir()
    path = place / "identity.pem"
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(key)
    return path


async def put_user_rule(system: System, rule_id: str, **fields: Any) -> None:  # noqa: ANN401
    """Write a rule for each user's requests below `/<rule_id>`, and wait until it is in force."""
    match = {"path_prefix": f"/{rule_id}"}
    await system.put_rule(rule_id, key_type="user", key_value="*", match=match, **fields)

    async def in_force() -> bool:
        answer = await system.request("GET", f"/{rule_id}", "nobody-else")
        return f'"{rule_id}"' in answer.headers.get("RateLimit-Policy", "")

    await eventually(in_force, 30, f"rule {rule_id} is in force")


async def spend_the_first(system: System, url: str, tokens: Sequence[dict[str, str]]) -> None:
    """Use up a limit of one request per hour for each user."""
    for token in tokens:
        async with system.http.get(url, headers=token) as response:
            require(response.status == 200, f"{url}: the first request got {response.status}")


def deferring(drain: dict[str, Any], *, paused: bool = False) -> dict[str, Any]:
    """The fields of a rule that defers all requests of a user but the first, and whose flows are never full."""
    queue = {"max_depth": 10_000_000, "max_wait_seconds": 30_000_000}
    return USED_UP_AT_ONCE | {"on_limit": "defer", "drain": drain, "paused": paused, "queue": queue}
