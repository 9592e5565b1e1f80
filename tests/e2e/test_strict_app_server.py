"""An app server that refuses what arrives above its limit in any window, by its own clock."""

from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.support.system import System, running

WINDOW_S, HEADROOM_MS = 4, 200
"""Four times 1 s and 50 ms, so that no pause of a busy machine is mistaken for a request that was sent early."""
RECIPE = {"action": "defer", "window_seconds": WINDOW_S, "headroom_ms": HEADROOM_MS}


@pytest.mark.alone
@pytest.mark.parametrize(
    ("limit", "requests", "stretch", "how"),
    [
        (200, 1000, 100, {"burst": 1}),
        (200, 300, 100, {"drain": {"limit": 200, "window_seconds": WINDOW_S}}),
        (40, 120, 40, {"algorithm": "sliding_window"}),
    ],
    ids=["gcra", "drain", "sliding_window"],
)
async def test_with_headroom_nothing_is_refused(
    settings: Settings, tmp_path: Path, limit: int, requests: int, stretch: int, how: dict[str, Any]
) -> None:
    async with running(settings, tmp_path, edges=1, workers=1) as system:
        await system.http.put(f"{system.upstream}/-/strict/{limit}/{WINDOW_S}")
        await system.put_rule("partner", key_type="user", key_value="*", limit=limit, **RECIPE, **how)
        await system.rule_is_known("partner", "u")
        await deferred(system, requests)
        arrivals = await system.arrived(requests, within_s=90)
        refused = [arrival for arrival in arrivals if arrival["status"] == 429]
        times = [arrival["at"] for arrival in arrivals]
        closest_s = min(later - earlier for earlier, later in zip(times, times[limit:], strict=False))
        shortest_s = min(later - earlier for earlier, later in zip(times, times[stretch:], strict=False))
        rate, whole = stretch / shortest_s, len(times) / (times[-1] - times[0])
        print(f"{len(refused)} refused; {rate:.1f} a second, {whole:.1f} overall; {limit + 1} within {closest_s:.3f} s")
        assert (len(refused), len(arrivals)) == (0, requests)
        assert rate >= 0.94 * limit / WINDOW_S, "as 4.7 to 5, where the worker was not held up"


async def deferred(system: System, count: int) -> None:
    for number in range(count):
        answer = await system.request("POST", f"/call/{number}", "u", data=b"x")
        assert answer.status == 202, answer
