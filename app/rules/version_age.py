"""Which version of the rules a process has, and for how long."""

import time
from collections.abc import Callable
from typing import Any

from app.rules.cache import RuleCache


class RulesVersionAge:
    """Remembers since when the rules have had their version, as precisely as it is asked."""

    def __init__(self, rules: RuleCache, clock: Callable[[], float] = time.monotonic) -> None:
        self._rules = rules
        self._clock = clock
        self._version: int | None = None
        self._since_s = clock()

    def report(self) -> dict[str, Any]:
        """Return the version, None before the rules were read, and its age in seconds."""
        now_s = self._clock()
        if self._rules.version != self._version:
            self._version, self._since_s = self._rules.version, now_s
        return {"rules_version": self._version, "rules_version_age_s": round(now_s - self._since_s, 3)}
