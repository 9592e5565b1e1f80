"""A worker's circuit breaker for answers: it opens when most of the latest answers ask to come back later.

One flow's answers say something about that flow's endpoint only. Many flows that are all turned away say that the app
servers are overloaded, and that each flow's own backoff together still sends them too much.
"""

import random
from collections import deque
from collections.abc import Callable

from app.upstream.breaker import LONGEST_BACKOFF_S, BreakerState, CircuitBreaker, Permit

LATEST_ANSWERS = 50
FLOWS_TO_OPEN = 5
"""The breaker opens when at least so many flows were turned away, and more than were served."""

SAME_FLOW_DELAY_S = 0.5
"""How much longer the flow of the last probe waits for the next one, so that another flow comes first."""


class AnswerBreaker:
    """Call `begin` when a job is sent and `end` when its attempt is over. Times are of a monotonic clock."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._circuit = CircuitBreaker(jitter)
        self._latest: deque[tuple[str, bool]] = deque(maxlen=LATEST_ANSWERS)
        self._probes: set[str] = set()
        self._last_probed = ""

    @property
    def is_open(self) -> bool:
        """Whether only a probe may be sent."""
        return self._circuit.state is BreakerState.OPEN

    @property
    def is_closed(self) -> bool:
        """Whether any number of jobs may be sent."""
        return self._circuit.state is BreakerState.CLOSED

    def capacity(self, now: float) -> float:
        """How many jobs may be sent now; infinite while the breaker is closed."""
        return self._circuit.capacity(now)

    def wait_s(self, now: float, flow: str = "") -> float:
        """Seconds until a job of this flow, or of any flow, may be sent, if the state does not change before."""
        wait_s = self._circuit.wait_s(now)
        if self._circuit.state is BreakerState.OPEN and flow and flow == self._last_probed:
            wait_s = max(0.0, self._circuit.next_probe_at + SAME_FLOW_DELAY_S - now)
        return wait_s

    def begin(self, flow: str, job_id: str, now: float) -> None:
        """A job is being sent, for which there was capacity."""
        if self._circuit.begin(now) is Permit.PROBE:
            self._probes.add(job_id)
            self._last_probed = flow

    def end(self, flow: str, job_id: str, now: float, *, busy: bool | None) -> None:
        """An attempt is over; `busy`: whether the answer asked to come back later; None if no answer came."""
        if job_id in self._probes:
            self._probes.discard(job_id)
            if busy is False:
                self._close(now)
        elif busy is not None and self._circuit.state is not BreakerState.OPEN:
            self._latest.append((flow, busy))
            if busy and self._most_flows_are_busy():
                self._circuit.trip(now, LONGEST_BACKOFF_S - SAME_FLOW_DELAY_S)

    def _close(self, now: float) -> None:
        self._circuit.probe_succeeded(now)
        self._latest.clear()
        self._probes.clear()
        self._last_probed = ""

    def _most_flows_are_busy(self) -> bool:
        """Each flow counts once, by its last answer."""
        last_answers = dict(self._latest)
        busy = sum(last_answers.values())
        return busy >= FLOWS_TO_OPEN and 2 * busy > len(last_answers)
