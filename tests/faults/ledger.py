"""Ledgers: what was promised to clients, and what arrived at the app server; and the account of both."""

import asyncio
import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

from tests.bounds import assert_within_rate
from tests.system import System, eventually


class Ledger:
    """Lines of JSON, each on disk before what it says counts."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._out = file.open("ab", buffering=0)

    def write(self, **entry: Any) -> None:  # noqa: ANN401
        self._out.write(json.dumps(entry).encode() + b"\n")
        os.fsync(self._out.fileno())

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._file.read_bytes().splitlines()]


class Client:
    """One user who sends requests one after the other, each until it is accepted, and remembers every 202."""

    def __init__(self, system: System, user: str, ledger: Ledger) -> None:
        self._system = system
        self._user = user
        self._ledger = ledger
        self.refused: Counter[int] = Counter()

    async def send(self, number: int, path: str = "/{user}/{number}", **more: Any) -> None:  # noqa: ANN401
        """With an idempotency key, so that a repetition is the same job."""
        target = path.format(user=self._user, number=number)
        headers = {"Idempotency-Key": f"{self._user}-{number}", "Connection": "close"} | more.pop("headers", {})
        while True:
            try:
                answer = await self._system.request("POST", target, self._user, headers=headers, data=b"x", **more)
            except (aiohttp.ClientError, TimeoutError):
                self.refused[0] += 1
                await asyncio.sleep(0.02)
                continue
            if answer.status in (200, 202) and "Location" in answer.headers:
                self._ledger.write(user=self._user, number=number, job=answer.json()["id"])
                return
            if answer.status == 200:  # within the limit: forwarded
                return
            assert answer.status in (429, 502, 503), f"{answer.status}: {answer.body!r}"
            self.refused[answer.status] += 1
            await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Account:
    """Every promise against what arrived."""

    promised: list[dict[str, Any]]
    arrivals: list[dict[str, Any]]
    """Of jobs, each with `user` and `number`."""

    @property
    def duplicates(self) -> int:
        return len(self.arrivals) - len({arrival["job"] for arrival in self.arrivals})

    def of(self, user: str) -> list[dict[str, Any]]:
        return [arrival for arrival in self.arrivals if arrival["user"] == user]

    def assert_order(self) -> None:
        """Within a flow, retries and reclaimed jobs aside."""
        by_user: dict[str, list[int]] = defaultdict(list)
        for arrival in self.arrivals:
            if arrival["attempt"] == "1":
                by_user[arrival["user"]].append(arrival["number"])
        for user, numbers in by_user.items():
            assert numbers == sorted(numbers), f"the order of {user}"

    def assert_rate(self, rate_per_s: float, burst: float, counters_lost_at: Sequence[float] = ()) -> None:
        """In every stretch, but for those in which counters were lost."""
        edges = [float("-inf"), *sorted(counters_lost_at), float("inf")]
        for user in {arrival["user"] for arrival in self.arrivals}:
            times = [arrival["at"] for arrival in self.of(user)]
            for first, last in pairwise(edges):
                assert_within_rate([at for at in times if first < at <= last], rate_per_s, burst)


async def account(system: System, ledger: Ledger, within_s: float = 120.0) -> Account:
    """Wait until every promised job is final; each must have succeeded and arrived."""
    promised = ledger.read()
    for entry in promised:

        async def final(entry: dict[str, Any] = entry) -> bool:
            job = await system.job(entry["job"], entry["user"])
            assert job["status"] not in {"failed", "canceled"}, job
            return bool(job["status"] == "succeeded")

        await eventually(final, within_s, f"{entry} has succeeded")
    arrivals = []
    for arrival in await system.arrivals():
        if arrival["job"]:
            _, user, number = arrival["target"].split("?")[0].split("/")
            arrivals.append(arrival | {"user": user, "number": int(number)})
    lost = {entry["job"] for entry in promised} - {arrival["job"] for arrival in arrivals}
    assert not lost, "acknowledged, and never sent"
    return Account(promised, arrivals)
