"""A short report of each phase, which scripts/test and .ci/run print last of all, where it is found at once."""

import time
from pathlib import Path

import pytest

UNSUCCESSFUL = ("failed", "error")
SLOWEST = 10
LONGEST_MESSAGE = 200


class PhaseReport:
    """A plugin that appends to a file how many tests ran, for how long, the slowest ones, and those that failed."""

    def __init__(self, file: Path, phase: str) -> None:
        self._file = file
        self._phase = phase
        self._started_s = time.monotonic()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Called by pytest when all tests have run."""
        stats: dict[str, list[pytest.TestReport]] = terminalreporter.stats
        counts = {outcome: len(stats.get(outcome, [])) for outcome in ("passed", "skipped", *UNSUCCESSFUL)}
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
        if said:
            took_s = time.monotonic() - self._started_s
            lines = [f"phase {self._phase}: {said}, in {took_s:.0f} s", *_slowest(stats), *_unsuccessful(stats)]
            with self._file.open("a") as out:
                out.write("\n".join(lines) + "\n")


def _slowest(stats: dict[str, list[pytest.TestReport]]) -> list[str]:
    reports = [report for of_outcome in stats.values() for report in of_outcome if hasattr(report, "duration")]
    reports.sort(key=lambda report: report.duration, reverse=True)
    return [f"  {report.duration:6.1f} s  {report.when:8}  {report.nodeid}" for report in reports[:SLOWEST]]


def _unsuccessful(stats: dict[str, list[pytest.TestReport]]) -> list[str]:
    return [
        f"  {outcome.upper()} {report.nodeid}: {_message(report)}"
        for outcome in UNSUCCESSFUL
        for report in stats.get(outcome, [])
    ]


def _message(report: pytest.TestReport) -> str:
    """The first line of the error that ended the test, cut to a length that can be read."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash else report.longrepr)
    return text.partition("\n")[0][:LONGEST_MESSAGE]
