"""How the commands read lists from the admin API, and write them for people."""

import io
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
from rich.table import Table
from rich.text import Text

from app.commands.admin_client import AdminClient
from app.commands.confirmation import confirm
from app.commands.flows import shown
from app.commands.tables import print_more, print_table
from app.commands.times import format_time, parse_time
from app.errors import InvalidInput

NAMES = [str(number) for number in range(7)]
JOB = "0-" + "x" * 22


class PagedList(AdminClient):
    """An admin API with one list of seven, whose pages are at most two long."""

    def __init__(self) -> None:
        self.limits: list[int] = []

    def call(self, method: str, *segments: str, query: Mapping[str, Any] | None = None, **_: object) -> Any:  # noqa: ANN401 - JSON
        assert (method, segments) == ("GET", ("things",))
        assert query is not None
        self.limits.append(query["limit"])
        first = int(query.get("after", 0))
        following = first + min(2, query["limit"])
        return {"things": NAMES[first:following], "next": str(following) if following < len(NAMES) else None}


@pytest.mark.parametrize(
    ("limit", "limits", "more"), [(1, [1], True), (3, [3, 1], True), (7, [7, 5, 3, 1], False), (9, [9, 7, 5, 3], False)]
)
def test_a_list_is_read_page_by_page_until_there_are_enough(limit: int, limits: list[int], more: bool) -> None:
    client = PagedList()
    found, page = client.listed("things", "things", query={}, limit=limit)
    assert (found, client.limits, page["next"] is not None) == (NAMES[:limit], limits, more)


def test_a_list_says_whether_there_is_more(capsys: pytest.CaptureFixture[str]) -> None:
    print_more({"next": None}, 5)
    print_more({"next": "x"}, 5)
    print_more({"next": "x", "total": 9}, 5)
    assert capsys.readouterr().out.splitlines() == [
        "These are the first 5. Use --limit to list more.",
        "These are the first 5 of 9. Use --limit to list more.",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, columns: int, *rows: tuple[str, str]) -> list[str]:
    """What a table is on a terminal of this width, or in a pipe if the width is 0."""
    out = Terminal() if columns else io.StringIO()
    table = Table("job", "error")
    for row in rows:
        table.add_row(*row)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setenv("COLUMNS", str(columns or 80))
        print_table(table)
    return [Text.from_ansi(line).plain.strip() for line in out.getvalue().splitlines()]


def test_no_word_of_a_table_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = printed(monkeypatch, 60, (JOB, "the app server answered 500"))
    assert any(JOB in line and "answered" in line for line in wide)
    folded = printed(monkeypatch, 45, (JOB, "the app server answered 500"))
    assert any(JOB in line and "the" in line for line in folded)
    assert not any(JOB in line and "500" in line for line in folded)
    sentence = printed(monkeypatch, 75, ("many words and no id, " * 4, f"of the job {JOB}"))
    assert any(f" {JOB} " in line and "many" in line for line in sentence)
    narrow = printed(monkeypatch, 20, (JOB, "expired"), (JOB, ""))
    assert [line for line in narrow if line] == [f"job: {JOB}", "error: expired", f"job: {JOB}"]


def test_each_row_is_one_line_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    words = " ".join(["word"] * 1000)
    assert any(JOB in line and words in line for line in printed(monkeypatch, 0, (JOB, words)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-03-01T09:00:00.123456Z", "2026-03-01 09:00:00Z"),
        ("2026-03-01T09:00:00+02:00", "2026-03-01 07:00:00Z"),
        (None, ""),
    ],
)
def test_times_are_written_in_utc_and_to_the_second(text: str | None, shown: str) -> None:
    assert format_time(text) == shown


def test_a_time_is_absolute_or_an_age() -> None:
    assert parse_time("2026-03-01T09:00:00Z") == parse_time("2026-03-01T11:00:00+02:00") == "2026-03-01T09:00:00+00:00"
    before, parsed = datetime.now(UTC), datetime.fromisoformat(parse_time("2h"))
    assert before <= parsed + timedelta(hours=2) <= datetime.now(UTC)
    local = datetime.fromisoformat("2026-03-01T09:00:00").astimezone()
    assert datetime.fromisoformat(parse_time("2026-03-01T09:00:00")) == local
    for wrong in ("yesterday", "0h", "5w", "999999999d", "0001-01-01T00:00+14:00", ""):
        with pytest.raises(InvalidInput, match="is not a time: write it as 2026-03-01T09:00:00Z, or 2h"):
            parse_time(wrong)


@pytest.mark.parametrize(("answer", "yes", "goes_on"), [("y\n", False, True), ("n\n", False, False), ("", True, True)])
def test_a_person_is_asked_before_what_cannot_be_undone(
    monkeypatch: pytest.MonkeyPatch, answer: str, yes: bool, goes_on: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    if goes_on:
        confirm("Delete it?", yes=yes)
    else:
        with pytest.raises(typer.Abort):
            confirm("Delete it?", yes=yes)


def test_where_nobody_can_answer_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    confirm("Delete it?", yes=False)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("held_until", "2026-03-01T09:00:00.5Z", "2026-03-01 09:00:00Z"),
        ("held_until", None, "-"),
        ("eta_seconds", 3700.0, "1h 1m"),
        ("eta_seconds", None, "-"),
        ("own_rate", {"limit": 50, "window_seconds": 1.0}, "50/s"),
        ("permitted_per_second", 0.123456, "0.123"),
        ("depth", 7, "7"),
    ],
)
def test_a_flow_is_shown_as_people_write(name: str, value: object, text: str) -> None:
    assert shown(name, value) == text
