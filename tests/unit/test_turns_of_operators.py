"""An operator who searches many times at once is served one search after the other; others do not wait for it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from app.admin.operators import Operator, Role
from app.admin.services.dead_letters import DeadLetterService
from app.admin.services.jobs import JobService
from app.admin.services.jobs_model import JobQuery
from app.queue.dead_letter_filter import DeadLetterFilter
from app.queue.dead_letters import DeadLetterList
from app.queue.job_search import FoundJobs

ANN, BEN = (Operator(name, Role.VIEWER) for name in ("ann", "ben"))


class SlowSearch:
    """Searches that end when they are told to."""

    def __init__(self, found: object) -> None:
        self.found = found
        self.running = 0
        self.go_on = asyncio.Event()

    async def page(self, *_: object) -> Any:  # noqa: ANN401
        self.running += 1
        await self.go_on.wait()
        self.running -= 1
        return self.found


async def turns_are_taken(search: SlowSearch, page: Any) -> None:  # noqa: ANN401
    asking = [asyncio.create_task(page(operator)) for operator in (ANN, ANN, ANN, BEN)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert search.running == 2, "one of each operator"
    asking[0].cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    search.go_on.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert [answer.next for answer in answers[1:] if not isinstance(answer, BaseException)] == [None] * 3


@pytest.mark.parametrize("kind", ["jobs", "dead_letters"])
async def test_an_operator_makes_one_search_at_a_time(kind: str) -> None:
    anything: Any = SimpleNamespace()
    if kind == "jobs":
        search: Any = SlowSearch(FoundJobs([], None))
        jobs = JobService(search, anything, anything, anything, None, ())
        await turns_are_taken(search, lambda operator: jobs.page(operator, JobQuery()))
    else:
        search = SlowSearch(DeadLetterList([], None))
        dead_letters = DeadLetterService(search, anything, anything, (), anything)
        await turns_are_taken(search, lambda operator: dead_letters.page(operator, DeadLetterFilter(), 10))
