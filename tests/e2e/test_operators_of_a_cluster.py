"""What operators see and do where there are several edges and workers: all of them are seen, and all of them obey."""

import asyncio
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from app.settings import Settings
from tests.support.bounds import assert_slots_within_rate
from tests.support.ports import free_port
from tests.support.system import System, running
from tests.support.waiting import eventually

RULE: dict[str, Any] = {
    "key_type": "user",
    "key_value": "*",
    "limit": 1,
    "window_seconds": 3600,
    "on_limit": "defer",
    "drain": {"limit": 20, "window_seconds": 1},
    "paused": True,
}
JOBS = {"user:alice": 30, "user:bob": 4, "user:carol": 4}
MAX_IN_FLIGHT = 10
"""Of each worker, so that one of them cannot send all by itself."""
OBEYED_WITHIN_S = 2.0
"""Workers hear of what is set for a flow within a second; this machine may be busy."""

OWN_RATE = {"limit": 10, "window_seconds": 1, "burst": 1}


class Operator:
    """Uses the admin API of a system."""

    def __init__(self, system: System, port: int) -> None:
        self._system = system
        self._url = f"http://127.0.0.1:{port}/v1"
        token = system.issuer.token("olga", aud="penstock-admin", penstock_role="operator")
        self._headers = {"Authorization": f"Bearer {token}"}

    async def __call__(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        async with self._system.http.request(method, self._url + path, json=body, headers=self._headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def seen(self, path: str, is_so: Callable[[Any], bool], what: str) -> Any:  # noqa: ANN401 - JSON
        """Look until it is so, and return what was seen then."""
        found: list[Any] = []

        async def look() -> bool:
            found[:] = [await self("GET", path)]
            return is_so(found[0])

        await eventually(look, 60, what)
        return found[0]

    async def flows(self) -> dict[str, Any]:
        """The flows by their callers."""
        return {flow["descriptor"]: flow for flow in (await self("GET", "/flows"))["flows"]}


async def defer(system: System, user: str, count: int) -> None:
    """The first request is forwarded; each comes by a connection of its own, so that both edges get some."""
    for number in range(count + 1):
        answer = await system.request("GET", f"/{user}/{number}", user, headers={"Connection": "close"})
        assert answer.status == (202 if number else 200)


def versions(status: dict[str, Any], role: str) -> list[int]:
    return [one["rules_version"] for one in status["processes"] if one["role"] == role]


async def all_in_flight(olga: Operator) -> dict[str, int]:
    """How many jobs of each flow are in flight, once no more are sent and both workers together say the same."""
    sent: dict[str, int] = {}

    async def both_say_so() -> bool:
        before = dict(sent)
        processes = (await olga("GET", "/status"))["processes"]
        of_workers = [one["in_flight"] for one in processes if one["role"] == "worker"]
        await asyncio.sleep(1)
        sent.update((name, flow["in_flight"]) for name, flow in (await olga.flows()).items())
        return sent == before and all(of_workers) and sum(of_workers) == sum(sent.values())

    await eventually(both_say_so, 60, "both workers have jobs in flight, which are those of the flows")
    return sent


async def test_operators_see_and_govern_two_edges_and_two_workers(settings: Settings, tmp_path: Path) -> None:
    async with running(
        settings, tmp_path, edges=2, workers=2, record_slots=True, PENSTOCK_MAX_IN_FLIGHT=str(MAX_IN_FLIGHT)
    ) as system:
        port = free_port()
        admin = system.spawn("admin", "--port", str(port))
        await system.ready(admin)
        olga = Operator(system, port)
        await system.put_rule("r", **RULE)
        await system.rule_is_known("r", "alice")
        for user, count in JOBS.items():
            await defer(system, user.removeprefix("user:"), count)

        status = await olga.seen(
            "/status",
            lambda found: versions(found, "edge") == versions(found, "worker") == [found["rules"]["version"]] * 2,
            "every edge and worker has the rules",
        )
        ours = {(part.role, part.process.pid) for part in system.parts if part.role != "app server"}
        assert {(one["role"], one["pid"]) for one in status["processes"]} == ours
        assert status["backlog"]["jobs"] == sum(JOBS.values())
        flows = await olga.flows()
        assert {name: flow["depth"] for name, flow in flows.items()} == JOBS
        assert {flow["state"] for flow in flows.values()} == {"paused"}

        alice, bob = (f"/flows/{flows[user]['id']}" for user in ("user:alice", "user:bob"))
        assert (await olga("PUT", f"{alice}/rate", OWN_RATE))["rate"] == OWN_RATE
        assert (await olga("POST", f"{bob}/pause"))["paused"] is True
        await asyncio.sleep(OBEYED_WITHIN_S)
        [app_server] = [part for part in system.parts if part.role == "app server"]
        app_server.kill(signal.SIGSTOP)  # so that what is sent stays in flight
        await olga("POST", "/rules/r/drain/resume")
        found = await olga.seen(alice, lambda flow: flow["in_flight"] > MAX_IN_FLIGHT, "more than one worker may send")
        assert found["permitted_per_second"] == 10
        await olga("POST", f"{alice}/pause")
        sent = await all_in_flight(olga)
        assert sent["user:bob"] == 0
        assert sent["user:carol"] == JOBS["user:carol"]

        app_server.kill(signal.SIGCONT)
        found = await olga.seen(alice, lambda flow: flow["in_flight"] == 0, "what was sent has an outcome")
        assert found["depth"] == JOBS["user:alice"] - sent["user:alice"], "no worker has sent more since she is paused"
        ended = found["actual_per_second"] * found["actual_over_seconds"]
        assert round(ended) == sent["user:alice"], "by whichever worker"
        assert_slots_within_rate(system.granted("user:alice"), 10, 1)

        arrived = await system.arrived_so_far()
        until = (await olga("PUT", f"{alice}/rate?for_seconds=3", {"limit": 1, "window_seconds": 3600}))["rate_until"]
        await olga("POST", f"{alice}/resume")
        admin.kill()
        await system.arrived(arrived + found["depth"])  # which takes hours at the rate that was set
        assert_slots_within_rate(system.granted("user:alice"), 10, 1)
        again = free_port()
        await system.ready(system.spawn("admin", "--port", str(again)))
        olga = Operator(system, again)
        [entry] = (await olga.seen("/audit?action=flow.reverted", lambda page: page["entries"], "it is audited"))[
            "entries"
        ]
        assert (entry["actor"], entry["after"]["rate"]) == ("penstock", OWN_RATE)
        late_s = (datetime.fromisoformat(entry["at"]) - datetime.fromisoformat(until)).total_seconds()
        assert 0 <= late_s < 3, "within a second, and this machine may be busy"
