"""The rescheduler: every change of a rule reaches its flows, also one that comes while an earlier one is handled."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import QueueUnavailable, RulesUnavailable
from consumers import rescheduler
from consumers.rescheduler import Rescheduler


class FakeQueueAndRules:
    """Records which version of which rule was rescheduled, until `expected` were.

    `during` is called with the rescheduler and the rule while a rule is rescheduled.
    """

    def __init__(self, expected: set[tuple[str, int]]) -> None:
        self.versions = {rule_id: 1 for rule_id, _ in expected}
        self.unreadable: set[str] = set()
        self.queue_failures = 0
        self.during: Callable[[Rescheduler, str], None] = lambda *_: None
        it: Any = self
        self.rescheduler = Rescheduler(it, it)
        self._expected = expected
        self._done = asyncio.Event()

    async def by_id(self, rule_id: str, *, latest: bool) -> Any:  # noqa: ANN401
        assert latest
        if rule_id in self.unreadable:
            raise RulesUnavailable("not now", "stale")
        return SimpleNamespace(version=self.versions[rule_id])

    async def reschedule(self, rule_id: str, rule: Any) -> None:  # noqa: ANN401
        await asyncio.sleep(0)
        self.during(self.rescheduler, rule_id)
        if self.queue_failures:
            self.queue_failures -= 1
            raise QueueUnavailable("not now", "unreachable")
        self._expected.discard((rule_id, rule.version))
        if not self._expected:
            self._done.set()

    async def reschedules_what_is_expected(self) -> None:
        run = asyncio.create_task(self.rescheduler.run())
        self.rescheduler.changed(frozenset(self.versions))
        try:
            await asyncio.wait_for(self._done.wait(), 10)
        finally:
            run.cancel()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescheduler, "RETRY_DELAY_S", 0.001)


async def test_a_change_during_the_rescheduling_of_the_same_rule_is_not_lost() -> None:
    fake = FakeQueueAndRules({("r", 1), ("r", 2)})

    def change_again(of: Rescheduler, rule_id: str) -> None:
        if fake.versions[rule_id] == 1:
            fake.versions[rule_id] = 2
            of.changed(frozenset({rule_id}))

    fake.during = change_again
    await fake.reschedules_what_is_expected()


@pytest.mark.usefixtures("at_once")
async def test_a_rule_that_cannot_be_read_holds_up_no_other_and_is_rescheduled_later() -> None:
    fake = FakeQueueAndRules({("a", 1), ("b", 1), ("c", 1)})
    fake.unreadable = {"b"}
    seen = set()

    def readable_after_the_others(_: Rescheduler, rule_id: str) -> None:
        seen.add(rule_id)
        if seen == {"a", "c"}:
            fake.unreadable.clear()

    fake.during = readable_after_the_others
    await fake.reschedules_what_is_expected()


@pytest.mark.usefixtures("at_once")
async def test_rules_are_rescheduled_once_the_queue_answers_again() -> None:
    fake = FakeQueueAndRules({("a", 1), ("b", 1)})
    fake.queue_failures = 3
    await fake.reschedules_what_is_expected()
