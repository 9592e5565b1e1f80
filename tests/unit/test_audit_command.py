"""What `penstock audit` shows of a change."""

from typing import Any

import pytest

from app.commands.audit import changes
from app.commands.durations import format_duration

RULE = {"rule_id": "r", "limit": 5, "version": 1, "updated_by": "ann"}
UNTIL = "2026-11-27T13:55:08Z"
FOR_A_WHILE = RULE | {"limit": 9, "version": 2, "temporary": [{"until": UNTIL, "previous": {"limit": 5}}]}


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (RULE, RULE | {"limit": 9, "version": 2, "updated_by": "bob"}, "limit: 5 -> 9"),
        (RULE, RULE | {"burst": 7}, "burst: (default) -> 7"),
        (RULE, FOR_A_WHILE, "limit: 5 -> 9, until 2026-11-27 13:55:08Z"),
        (FOR_A_WHILE, RULE | {"version": 3}, "limit: 9 -> 5"),
        (None, RULE, ""),
        (RULE, None, ""),
        (None, {"paused": False, "rate": {"limit": 5}}, 'paused: (default) -> false, rate: (default) -> {"limit": 5}'),
        ({"status": "queued"}, {"status": "canceled"}, 'status: "queued" -> "canceled"'),
        ("a", "b", '"a" -> "b"'),
        (None, None, ""),
    ],
)
def test_only_what_somebody_has_changed_is_shown(before: Any, after: Any, shown: str) -> None:  # noqa: ANN401
    assert changes(before, after) == shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0.0s"), (4.24, "4.2s"), (60, "1m"), (190, "3m 10s"), (7500, "2h 5m"), (90_000, "1d 1h")],
)
def test_durations_are_written_in_two_units(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text
