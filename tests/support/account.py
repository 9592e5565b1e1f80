"""The account: every promise against its outcome and against what arrived at the app server."""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.bounds import SEND_DELAY_S, assert_in_order, assert_within_rate
from tests.support.granted_slots import assert_sent_at_slots
from tests.support.ledger import Ledger
from tests.support.system import System
from tests.support.waiting import eventually

FINAL = frozenset({"succeeded", "failed", "canceled"})
ASKED_AT_ONCE = 8
QUEUE = "queue-redis-0"
CLOCK_S = 0.002
"""The times of jobs are in milliseconds, and two clocks of one machine agree to within the other."""


@dataclass(frozen=True)
class Arrival:
    """One attempt as the app server saw it. `via`: the process that sent it, where each has a path of its own."""

    job: str
    user: str
    number: int
    attempt: int
    at: float
    clock: float
    """The same on the machine's clock, which slots are granted by."""
    idle_at: float
    """When the app server last had nothing left to read."""
    answered: float
    via: str

    @property
    def could_come_at(self) -> float:
        """On the machine's clock: it came between this and `clock`."""
        return self.clock - max(0.0, self.at - self.idle_at)

    @property
    def as_read(self) -> tuple[int, float, float]:
        """What `assert_in_order` needs to know of it."""
        return self.number, self.at, self.idle_at


@dataclass
class Kill:
    """`until`: when outcomes can be stored again, for the queue; what was answered before that is in flight still."""

    at: float
    name: str
    until: float = float("inf")

    def is_of(self, arrival: Arrival) -> bool:
        """Whether this hit who sent it, or who was to store its outcome, and it had come before."""
        is_queue = self.name == QUEUE
        return self.name in {arrival.via, QUEUE} and arrival.idle_at <= (self.until if is_queue else self.at)


@dataclass(frozen=True)
class Account:
    promised: list[dict[str, Any]]
    outcomes: dict[str, dict[str, Any]]
    """Jobs as the edge shows them at the end."""
    arrivals: list[Arrival]
    """In the order of time, those of jobs that nobody was told of too."""

    @property
    def duplicates(self) -> int:
        return len(self.arrivals) - len({arrival.job for arrival in self.arrivals})

    @property
    def statuses(self) -> Counter[str]:
        return Counter(job["status"] for job in self.outcomes.values())

    def assert_order(self) -> None:
        """Within a flow, retries and reclaimed jobs aside: those are not at their first attempt."""
        by_user: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in self.arrivals:
            if arrival.attempt == 1:
                by_user[arrival.user].append(arrival)
        for of_user in by_user.values():
            assert_in_order(arrival.as_read for arrival in of_user)

    def assert_rate(
        self,
        rate_per_s: float,
        burst: float,
        counters_lost_at: Sequence[float] = (),
        send_delay_s: float = SEND_DELAY_S,
    ) -> None:
        """Of every descriptor, in every stretch: burst + rate * (T + J) + 1.

        Each time that the counters were lost there may be one burst more, and what had been granted ahead still comes
        (the horizon is shorter than J): the stretches before and after are looked at by themselves.
        """
        bounds = [float("-inf"), *sorted(counters_lost_at), float("inf")]
        ahead = rate_per_s * send_delay_s if counters_lost_at else 0
        for user in {arrival.user for arrival in self.arrivals}:
            times = [(arrival.idle_at, arrival.at) for arrival in self.arrivals if arrival.user == user]
            for first, last in pairwise(bounds):
                within = [(idle_at, at) for idle_at, at in times if first < at <= last]
                assert_within_rate(within, rate_per_s, burst + ahead, send_delay_s)

    def assert_slots(
        self, system: System, rate_per_s: float, burst: float, callers: Mapping[str, str] | None = None
    ) -> None:
        """Every descriptor was granted slots within the rate, and each arrival came at a slot of its own or later.

        `callers`: who sent the requests whose targets name another user.
        """
        by_caller: dict[str, list[float]] = defaultdict(list)
        for arrival in self.arrivals:
            by_caller[(callers or {}).get(arrival.user, arrival.user)].append(arrival.clock)
        for caller, times in by_caller.items():
            assert_sent_at_slots(times, system.granted(f"user:{caller}"), rate_per_s, burst)

    def assert_only_in_flight_was_repeated(self, kills: Sequence[Kill]) -> int:
        """Duplicates are of what was in flight at a kill; how many there might have been.

        Whatever was sent again had been sent by a process that was killed between the two, or could not be settled
        because the queue was. How long an answer may wait to be settled is not asked, as on a busy machine that is a
        matter of seconds; but `account` has seen that none was sent when it was final.
        """
        in_flight = 0
        for of_job in self.by_job.values():
            for arrival, over_at in zip(of_job, self._over_at(of_job), strict=True):
                was_killed = [kill for kill in kills if kill.is_of(arrival) and kill.at <= over_at]
                in_flight += len(was_killed)
                assert was_killed or arrival is of_job[-1], f"sent again, though nothing had happened: {of_job}"
        assert self.duplicates <= in_flight, "no more than was in flight at the kills"
        return in_flight

    @property
    def by_job(self) -> dict[str, list[Arrival]]:
        found: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in self.arrivals:
            found[arrival.job].append(arrival)
        return found

    def _over_at(self, of_job: Sequence[Arrival]) -> list[float]:
        """Until when each attempt was in flight: until the next one, and the last until the job was final."""
        last = of_job[-1]
        outcome = self.outcomes.get(last.job)
        # Who did not get the answer of an edge does not know the job.
        ended = last.answered if outcome is None else last.at + final_at(outcome) - last.clock
        return [*(later.at for later in of_job[1:]), ended]


async def account(system: System, ledger: Ledger, within_s: float = 120.0, *, may_fail: bool = False) -> Account:
    """Wait until every promised job is final: succeeded, and so has arrived; or canceled, if that was asked for."""
    entries = ledger.read()
    promised = [entry for entry in entries if "user" in entry]
    canceled = {entry["canceled"] for entry in entries if "canceled" in entry}
    outcomes = await final_jobs(system, promised, within_s)
    arrivals = arrivals_of(system.arrivals_ledger)
    arrived = {arrival.job for arrival in arrivals}
    for job, outcome in outcomes.items():
        status = outcome["status"]
        assert may_fail or status != "failed", outcome
        assert status != "succeeded" or job in arrived, "succeeded, and never sent"
        assert (status == "canceled") == (job in canceled), "canceled, and nothing else, if that was acknowledged"
    for arrival in arrivals:
        if arrival.job in outcomes:
            assert arrival.could_come_at <= final_at(outcomes[arrival.job]) + CLOCK_S, (
                f"sent when it was final: {arrival}"
            )
    return Account(promised, outcomes, arrivals)


def final_at(job: Mapping[str, Any]) -> float:
    """When a job became final, on the machine's clock."""
    return datetime.fromisoformat(job["finished_at"]).timestamp()


async def final_jobs(system: System, promised: Sequence[dict[str, Any]], within_s: float) -> dict[str, dict[str, Any]]:
    """Every promised job, once it is final, through an edge."""
    until = time.monotonic() + within_s
    places = asyncio.Semaphore(ASKED_AT_ONCE)
    headers = {user: system.auth(user) for user in {entry["user"] for entry in promised}}
    found: dict[str, dict[str, Any]] = {}

    async def ask(entry: dict[str, Any]) -> bool:
        try:
            answer = await system.request("GET", f"/_penstock/jobs/{entry['job']}", headers=headers[entry["user"]])
        except aiohttp.ClientError:  # an edge that was killed
            return False
        assert answer.status in {200, 503}, f"{entry}: {answer.status} {answer.body!r}"
        if answer.status == 200:
            found[entry["job"]] = answer.json()
        return answer.status == 200 and found[entry["job"]]["status"] in FINAL

    async def follow(entry: dict[str, Any]) -> None:
        async with places:
            await eventually(lambda: ask(entry), max(1.0, until - time.monotonic()), f"{entry} is final")

    await asyncio.gather(*(follow(entry) for entry in promised))
    return found


def arrivals_of(file: Path) -> list[Arrival]:
    """The attempts that an app server's ledger tells of; their targets end in /USER/NUMBER."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    answered = {line["key"]: line["answered"] for line in lines if "answered" in line}
    found = []
    for line in lines:
        if line.get("job"):
            *via, user, number = line["target"].partition("?")[0].strip("/").split("/")
            ended = answered.get(line["key"], line["at"])
            times = (line["at"], line["clock"], line["idle_at"], ended)
            found.append(Arrival(line["job"], user, int(number), int(line["attempt"]), *times, "/".join(via)))
    return sorted(found, key=lambda arrival: arrival.at)
