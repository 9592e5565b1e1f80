"""A rule that defers, short times, and what has to be true when a drain is over."""

from typing import Any

from tests.support.fault_proxy import FaultProxy
from tests.support.system import System
from tests.support.waiting import eventually

RATE = 10

SHORT: Any = {
    "PENSTOCK_LEASE_S": "2",
    "PENSTOCK_RECLAIM_INTERVAL_S": "0.5",
    "PENSTOCK_QUEUE_TIMEOUT_MS": "1000",
    "PENSTOCK_CACHE_TIMEOUT_MS": "500",
    "PENSTOCK_RETRY_BASE_S": "0.1",
    "PENSTOCK_RETRY_MAX_S": "1",
}
RULE: dict[str, Any] = {
    "key_type": "user",
    "key_value": "*",
    "limit": 1,
    "window_seconds": 36_000,
    "on_limit": "defer",
    "drain": {"limit": RATE, "window_seconds": 1},
    "queue": {"max_depth": 100_000, "max_wait_seconds": 86_400, "max_attempts": 100},
}


async def nothing_is_held(system: System, proxy: FaultProxy) -> None:
    """What is over takes no room: a worker that forgot to give it back would stand still one day."""
    proxy.cut = None
    [worker] = [part for part in system.parts if part.role == "worker"]

    async def in_flight() -> float:
        async with system.http.get(worker.ops_url + "/metrics") as response:
            lines = (await response.text()).splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("penstock_in_flight ")))

    async def idle() -> bool:
        return await in_flight() == 0

    # Once is enough: what was enqueued though its caller was told 503 may still be sent, one after the other.
    await eventually(idle, 30, "all is over, and its room is free again")
