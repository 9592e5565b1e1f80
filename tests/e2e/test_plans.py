"""The rules of the page on plans, over two edges, and what rules do instead of limiting."""

import asyncio
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from tests.support.bounds import assert_arrived_in_order, assert_slots_within_rate
from tests.support.documents import documents
from tests.support.system import Answer, System, running
from tests.support.waiting import eventually

PAGE = "docs/howto/plans.md"
EVERYBODY = {"key_type": "ip", "key_value": "*"}
EVERY_USER = {"key_type": "user", "key_value": "*"}


def rules_of_the_page() -> list[dict[str, Any]]:
    [page] = [page for page in documents() if page.name == PAGE]
    [block] = page.blocks("yaml")
    rules: list[dict[str, Any]] = yaml.safe_load(block)["rules"]
    return rules


def test_each_rule_of_the_page_is_one_line() -> None:
    [page] = [page for page in documents() if page.name == PAGE]
    written = [line for line in page.text.splitlines() if "rule_id:" in line]
    assert len(rules_of_the_page()) == len(written) == 5


def holder(system: System, subject: str, **claims: Any) -> dict[str, str]:  # noqa: ANN401
    return {"Authorization": f"Bearer {system.issuer.token(subject, **claims)}", "Connection": "close"}


async def statuses(system: System, count: int, target: str, headers: dict[str, str]) -> Counter[int]:
    """Over connections of their own, which reach both edges."""
    answers = [(await system.request("GET", target, headers=headers)).status for _ in range(count)]
    return Counter(answers)


async def known(system: System, rule_id: str, target: str, headers: dict[str, str]) -> None:
    async def by_every_edge() -> bool:
        asked = [await system.request("GET", f"/_penstock/limits?path={target}", headers=headers) for _ in range(40)]
        return all(answer.names(rule_id) for answer in asked)

    await eventually(by_every_edge, 30, f"rule {rule_id} is known")


async def test_the_plans_of_the_page_hold_over_two_edges(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, edges=2, workers=1) as system:
        for rule in rules_of_the_page():
            await system.put_rule(rule.pop("rule_id"), **(rule | stretched(rule)))
        nobody = {"Connection": "close"}
        fred, paula = holder(system, "fred", plan="free"), holder(system, "paula", plan="pro")
        for rule_id, target, who in [
            ("free", "/", fred), ("pro", "/", paula), ("anonymous", "/", nobody), ("health", "/healthz", fred),
            ("no-admin", "/admin", paula),
        ]:  # fmt: skip
            await known(system, rule_id, target, who)

        assert await statuses(system, 15, "/orders", fred) == {200: 10, 429: 5}
        assert await statuses(system, 3, "/orders", holder(system, "frida", plan="free")) == {200: 3}
        assert await statuses(system, 25, "/orders", nobody) == {200: 20, 429: 5}
        assert await statuses(system, 104, "/orders", paula) == {200: 100, 202: 4}
        arrived = await system.arrived_so_far()
        for who in (fred, paula, nobody):
            assert await statuses(system, 30, "/healthz", who) == {200: 30}
            assert await statuses(system, 10, "/admin/users", who) == {403: 10}
        assert await system.arrived_so_far() == arrived + 90
        bad = fred | {"Authorization": "Bearer nonsense"}
        assert await statuses(system, 2, "/healthz", bad) == {401: 2}, "a bad token is never anonymous"


def stretched(rule: dict[str, Any]) -> dict[str, Any]:
    """The window as an hour, so that no unit becomes free while the test runs."""
    return {"window_seconds": 3600} if "window_seconds" in rule else {}


async def deferred(system: System, user: str, number: int) -> Answer:
    answer = await system.request("POST", f"/work/{number}", user, data=b"x", headers={"Connection": "close"})
    assert answer.status == 202, answer
    return answer


@pytest.mark.alone
async def test_what_is_always_deferred_is_sent_at_once_if_its_quota_permits(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, edges=2, workers=2) as system:
        await system.put_rule("batch", **EVERY_USER, action="defer", limit=1000, window_seconds=1)
        await system.rule_is_known("batch", "u")
        took = []
        for number in range(30):
            asked_at = time.monotonic()
            job = (await deferred(system, "u", number)).json()
            arrival = (await system.arrived(number + 1))[-1]
            took.append(arrival["at"] - asked_at)
            assert (await system.ended(job["id"], "u"))["status"] == "succeeded"
        print(f"asked to arrived: median {statistics.median(took) * 1000:.0f} ms, longest {max(took) * 1000:.0f} ms")
        assert statistics.median(took) < 0.1


async def test_all_of_it_drains_in_order_at_its_limit_and_survives_a_change_to_block(
    settings: Settings, tmp_path: Path
) -> None:
    rule = EVERY_USER | {"limit": 20, "window_seconds": 1, "burst": 1}
    async with running(settings, tmp_path, edges=2, workers=2, record_slots=True) as system:
        await system.put_rule("batch", **rule, action="defer")
        await system.rule_is_known("batch", "u")
        jobs = [(await deferred(system, "u", number)).json()["id"] for number in range(40)]
        await system.put_rule("batch", **rule, action="block")

        async def blocked() -> bool:
            answers = [await system.request("GET", "/", "u", headers={"Connection": "close"}) for _ in range(20)]
            return {answer.status for answer in answers} == {403}

        await eventually(blocked, 30, "both edges block")
        ended = await asyncio.gather(*(system.ended(job, "u") for job in jobs))
        assert {job["status"] for job in ended} == {"succeeded"}, "what was accepted before is sent"
        # What asked for the change may be deferred before it.
        arrivals = [a for a in await system.arrivals() if a["job"] and a["target"] != "/"]
        assert_arrived_in_order([f"/work/{number}" for number in range(40)], arrivals)
        assert_slots_within_rate(system.granted("user:u"), 20, 1)
