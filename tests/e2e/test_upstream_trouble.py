"""App servers that are down or slow."""

from pathlib import Path

from app.settings import Settings
from tests.system import running


async def test_an_app_server_that_is_down_is_a_502(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, workers=0, PENSTOCK_UPSTREAMS="http://127.0.0.1:9") as system:
        answer = await system.request("GET", "/x", "u")
        assert (answer.status, answer.headers["Content-Type"]) == (502, "application/problem+json")


async def test_an_app_server_too_slow_is_a_504(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, workers=0, PENSTOCK_UPSTREAM_READ_TIMEOUT_S="0.3") as system:
        assert (await system.request("GET", "/x?delay_ms=5000", "u")).status == 504
