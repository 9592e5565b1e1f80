"""Decides whether a worker may send a job now: by the app servers' circuit breakers, the answers', and held flows."""

import asyncio
from collections.abc import Callable
from time import monotonic

import structlog

from app.upstream.upstream import Upstream
from consumers.answer_breaker import AnswerBreaker

log = structlog.get_logger()

LONGEST_PAUSE_S = 1.0
"""A flow that may not be sent is looked at again after this time, because breakers may close earlier than planned."""


class SendGate:
    """What draining asks before it takes flows, acquires slots and sends; delivery tells it how attempts end."""

    def __init__(self, upstream: Upstream, answers: AnswerBreaker, clock: Callable[[], float] = monotonic) -> None:
        self._upstream = upstream
        self._answers = answers
        self._clock = clock
        self._held: dict[str, bool] = {}

    @property
    def changed(self) -> asyncio.Event:
        """Set when a breaker has opened or closed; whoever waits for it clears it."""
        return self._upstream.changed

    @property
    def answers_refuse(self) -> bool:
        """Whether only probes are sent, because most flows were asked to come back later."""
        return self._answers.is_open

    @property
    def capacity(self) -> float:
        """How many jobs of any flows may be sent now."""
        return min(self._upstream.capacity, self._answers.capacity(self._clock()))

    @property
    def wait_s(self) -> float:
        """Seconds until there may be capacity, if `changed` is not set before."""
        return max(self._upstream.wait_s, self._answers.wait_s(self._clock()))

    def may_send(self, flow: str) -> bool:
        """Whether a job of this flow may be sent now."""
        if self._held.get(flow, False) or not self._upstream.has_capacity:
            return False
        return self._answers.is_closed or self._may_pass_answers(flow)

    def pause_s(self, flow: str) -> float:
        """Seconds after which the flow is worth another look; 0 if a job of it may be sent now."""
        if self.may_send(flow):
            return 0.0
        wait_s = max(self._upstream.wait_s, self._answers.wait_s(self._clock(), flow))
        return min(LONGEST_PAUSE_S, max(wait_s, 0.001))

    def _may_pass_answers(self, flow: str) -> bool:
        now = self._clock()
        return self._answers.capacity(now) >= 1 and self._answers.wait_s(now, flow) <= 0

    def begin_drain(self, flow: str) -> None:
        """This worker drains the flow from now on: a busy answer to one of its jobs stops those leased with it."""
        self._held[flow] = False

    def end_drain(self, flow: str) -> None:
        """This worker no longer drains the flow."""
        self._held.pop(flow, None)

    def begin(self, flow: str, job_id: str) -> None:
        """A job of this flow is being sent."""
        if not self._answers.is_closed:
            self._answers.begin(flow, job_id, self._clock())

    def end(self, flow: str, job_id: str, *, busy: bool | None) -> None:
        """An attempt is over; `busy`: whether the answer asked to come back later; None if no answer came."""
        if busy and flow in self._held:
            self._held[flow] = True
        was_open = self._answers.is_open
        self._answers.end(flow, job_id, self._clock(), busy=busy)
        if self._answers.is_open is not was_open:
            log.warning("answer_breaker", open=not was_open)
            self._upstream.changed.set()
