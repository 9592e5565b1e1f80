"""Says repeated trouble once and then counts it, so that no log is flooded while a store or an app server is away."""

import time
from collections.abc import Callable, Hashable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import structlog

WINDOW_S = 60.0
MAX_LINES = 20
"""How many different lines of one event are written within a window, such as one for each of many flows."""

MAX_EVENTS = 1000
REPEATABLE = frozenset({"warning", "error"})
SINGLE_FACTS = frozenset({"job", "offset", "open", "has_room"})
"""Fields of lines that are all written: about one job, one message, or one change of a state."""

_VARIABLE = frozenset({"error", "attempt", "left_out", "exception", "exc_info", "timestamp"})
"""Fields that differ although the trouble is the same."""


@dataclass(slots=True)
class _Window:
    """Which lines of an event were written since a time, and how many were not."""

    began_at_s: float
    written: set[Hashable] = field(default_factory=set)
    left_out: int = 0


class RepeatedLines:
    """A processor for structlog. Of each event, a line is written once a minute; `left_out` counts those since.

    It applies to warnings and errors. An event has a line for each combination of its fields, except for those that
    differ although the trouble is the same, and at most MAX_LINES.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def __call__(self, _: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        """Return the line, or raise structlog.DropEvent."""
        if event.get("level") not in REPEATABLE or not SINGLE_FACTS.isdisjoint(event):
            return event
        name, now_s = str(event.get("event")), self._clock()
        window = self._windows.get(name)
        left_out = event.get("left_out", 0)
        if window is None or now_s - window.began_at_s >= WINDOW_S:
            left_out += 0 if window is None else window.left_out
            window = self._begin(name, now_s)
        line = frozenset((key, str(value)) for key, value in event.items() if key not in _VARIABLE)
        if line in window.written or len(window.written) >= MAX_LINES:
            window.left_out += 1 + left_out
            raise structlog.DropEvent
        window.written.add(line)
        return {**event, "left_out": left_out} if left_out else event

    def _begin(self, name: str, now_s: float) -> _Window:
        if len(self._windows) >= MAX_EVENTS:
            self._windows.clear()
        window = self._windows[name] = _Window(now_s)
        return window
