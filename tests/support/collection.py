"""Which of the collected tests run, and in which order: see scripts/test.

`--phase parallel` runs the tests that may share the machine with others, `--phase alone` those that may not.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

PHASES = ("parallel", "alone")
FOLDERS = ("faults", "e2e", "scale", "integration", "unit")
"""From the longest tests to the shortest, so that no worker starts a long one when the others have finished."""

FAST_FOLDERS = {"integration", "unit"}
LATE_FOLDERS = {"scale"} | FAST_FOLDERS
"""They run last: tests of scale keep a core busy, which tests with deadlines and injected faults do not tolerate."""
SLOW = "not fast"
"""The marks that `scripts/test --slow` asks for."""

UNCLOSED_SOCKETS = "ignore:Exception ignored in. <(socket.socket|function _SelectorTransport)"
"""What aiokafka leaves to the garbage collector when it is cancelled while it connects."""


def has_nothing_to_run(path: Path, tests: Path, phase: str | None, marks: str) -> bool:
    """Whether no test of this file runs in the phase or with the marks, so that the file need not be imported."""
    if not path.name.startswith("test_"):
        return False
    if phase == "alone" and "pytest.mark.alone" not in path.read_text():
        return True
    return marks == SLOW and _folder(path, tests) in FAST_FOLDERS and "kafka" not in path.name + path.read_text()


def select_phase(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of the other phase, if a phase is given."""
    phase = config.getoption("--phase")
    if phase is None:
        return
    runs_alone = [item.get_closest_marker("alone") is not None for item in items]
    selected = [item for item, alone in zip(items, runs_alone, strict=True) if alone == (phase == "alone")]
    deselected = [item for item, alone in zip(items, runs_alone, strict=True) if alone != (phase == "alone")]
    config.hook.pytest_deselected(items=deselected)
    items[:] = selected


def mark_kafka(items: Sequence[pytest.Item]) -> None:
    """Mark the tests that need a broker, and let them ignore what aiokafka leaves behind."""
    ignored = pytest.mark.filterwarnings(f"{UNCLOSED_SOCKETS}:pytest.PytestUnraisableExceptionWarning")
    for item in items:
        if "kafka_bootstrap" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
        if item.get_closest_marker("kafka") or "kafka" in item.path.name:
            item.add_marker(ignored)


def mark_fast(items: Sequence[pytest.Item], tests: Path) -> None:
    """Mark what `scripts/test --fast` runs: unit and integration tests that need no broker."""
    for item in items:
        if _folder(item.path, tests) in FAST_FOLDERS and item.get_closest_marker("kafka") is None:
            item.add_marker(pytest.mark.fast)


def order_by_length(items: list[pytest.Item], tests: Path) -> None:
    """Put the long tests first, and before them those that run one after the other because they share a system."""

    def place(item: pytest.Item) -> tuple[bool, bool, int]:
        is_late = _folder(item.path, tests) in LATE_FOLDERS
        return is_late, item.get_closest_marker("xdist_group") is None, _folder_rank(item, tests)

    items.sort(key=place)


def _folder_rank(item: pytest.Item, tests: Path) -> int:
    folder = _folder(item.path, tests)
    return FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)


def _folder(path: Path, tests: Path) -> str:
    return path.relative_to(tests).parts[0]
