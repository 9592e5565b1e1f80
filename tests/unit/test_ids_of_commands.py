"""No text that is given as an id makes a command ask for anything else."""

from urllib.parse import unquote, urlsplit

import pytest

from app.commands.admin_client import _path
from tests.support.command_line import JOB, RESERVED, is_clean, ran
from tests.support.fake_admin import FakeAdmin

RULES = ["get", "edit", "delete", "history", "restore"]
DRAINS = ["set", "unset", "pause", "resume", "purge"]


@pytest.mark.parametrize("command", [*(("rules", one) for one in RULES), *(("drain", one) for one in DRAINS)])
def test_no_reserved_character_makes_another_path(fake_admin: FakeAdmin, command: tuple[str, str]) -> None:
    more = ["5/s"] if command[1] == "set" else []
    options = ["--version", "3"] if command[1] == "restore" else []
    for reserved in RESERVED:
        for rule_id in (f"bob{reserved}drain", reserved):
            fake_admin.targets.clear()
            code, _, errors = ran(*command, *options, "--", rule_id, *more)
            assert code in {1, 2}, (command, rule_id)
            is_clean(code, errors)
            assert all(target == "GET /v1/rules" for target in fake_admin.targets), (rule_id, fake_admin.targets)


def test_what_is_an_id_is_asked_for(fake_admin: FakeAdmin) -> None:
    fake_admin.targets.clear()
    assert [ran("rules", "delete", "per-user")[0], ran("drain", "pause", "a_1")[0]] == [0, 0]
    assert ran("rules", "get", "r", "--version", "3")[0] == 0
    assert fake_admin.targets == [
        "DELETE /v1/rules/per-user",
        "POST /v1/rules/a_1/drain/pause",
        "GET /v1/rules/r/history/3",
    ]


@pytest.mark.parametrize(
    "command",
    [
        ("dead-letters", "get"),
        ("dead-letters", "delete"),
        ("dead-letters", "replay"),
        ("jobs", "get"),
        ("jobs", "cancel"),
    ],
    ids=" ".join,
)
def test_no_reserved_character_makes_another_job(fake_admin: FakeAdmin, command: tuple[str, str]) -> None:
    for reserved in RESERVED:
        fake_admin.targets.clear()
        for job_id in (f"{JOB}{reserved}x", reserved, f"{JOB[:-1]}{reserved}!"):
            code, _, errors = ran(*command, "--", job_id)
            assert code in {1, 2}, job_id
            is_clean(code, errors)
        assert fake_admin.targets == []
        is_clean(*ran(command[0], "list", "--rule", f"bob{reserved}typo")[::2])
        assert fake_admin.targets == []


def test_text_that_is_no_id_goes_as_it_is(fake_admin: FakeAdmin) -> None:
    for reserved in RESERVED:
        fake_admin.targets.clear()
        is_clean(*ran("explain", "--user", f"a{reserved}b", "--", f"/x{reserved}y")[::2], most=3)
        assert {urlsplit(target.partition(" ")[2]).path for target in fake_admin.targets} <= {"/v1/explain"}


def test_a_path_is_quoted_whatever_a_segment_is() -> None:
    for reserved in RESERVED:
        if reserved in {".", "..", "\ud800"}:
            continue
        path = _path(("rules", reserved))
        assert path.count("/") == 3
        assert unquote(path.rpartition("/")[2]) == reserved
