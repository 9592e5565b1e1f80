"""How commands end: their exit codes and errors, and what they print for scripts."""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from app.cli import app
from app.commands.options import AsJson
from tests.support.command_line import is_clean, ran
from tests.support.fake_admin import FakeAdmin

pytestmark = pytest.mark.usefixtures("fake_admin")


def test_each_command_that_answers_takes_json_for_scripts() -> None:
    def without(group: typer.Typer, *path: str) -> Iterator[str]:
        for one in group.registered_commands:
            assert one.callback is not None
            if not any(each.annotation == AsJson for each in inspect.signature(one.callback).parameters.values()):
                yield " ".join((*path, one.name or one.callback.__name__.replace("_", "-")))
        for inner in group.registered_groups:
            assert inner.typer_instance is not None
            yield from without(inner.typer_instance, *path, str(inner.name))

    assert set(without(app)) == {"up", "admin", "worker", "sync", "issuer", "completion"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PENSTOCK_ADMIN_TOKEN", "tökén"),
        ("PENSTOCK_ADMIN_TOKEN", "a b"),
        ("PENSTOCK_ADMIN_TOKEN", "\udcff"),
        ("PENSTOCK_ADMIN_URL", "http://[::1"),
        ("PENSTOCK_ADMIN_URL", "ftp://x"),
        ("PENSTOCK_ADMIN_URL", "http://" + "x" * 300),
        ("PENSTOCK_ADMIN_URL", "http:///"),
        ("PENSTOCK_LOG_LEVEL", "loud"),
    ],
)
def test_any_setting_ends_cleanly(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    code, _, errors = ran("rules", "list")
    is_clean(code, errors, most=1)
    assert code == 1


def test_who_does_not_answer_is_not_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_ADMIN_URL", "http://127.0.0.1:1")
    code, _, errors = ran("rules", "list")
    assert code == 3
    assert "http://127.0.0.1:1 does not answer: [Errno 111] Connection refused: check the URL" in errors


def test_the_history_of_a_rule_that_never_was_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.commands.admin_client.AdminClient.call", lambda *_: {"versions": [], "next": None})
    for options in ([], ["--json"]):
        code, out, errors = ran("rules", "history", "r", *options)
        assert (code, out, errors) == (1, "", "penstock: there is no rule 'r' in the history\n")


def test_an_issuer_without_its_user_is_a_wrong_command_line() -> None:
    code, _, errors = ran("jobs", "list", "--issuer", "https://issuer.example")
    assert (code, errors) == (2, "penstock: --issuer says whose --user it is: give both\n")


def test_a_link_to_the_dashboard_is_printed_alone(fake_admin: FakeAdmin) -> None:
    link = f"{fake_admin.url}/sign-in#ticket=x"
    fake_admin.targets.clear()
    assert ran("dashboard") == (0, link + "\n", "")
    assert json.loads(ran("dashboard", "--json")[1]) == {"url": link, "expires_at": "2026-01-01T00:00:00Z"}
    assert fake_admin.targets == ["POST /v1/sign-in/tickets"] * 2


def test_a_bug_has_an_exit_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.commands.rules.print_table", lambda _: 1 / 0)
    for level, traceback_lines in (("info", 0), ("debug", 1)):
        monkeypatch.setenv("PENSTOCK_LOG_LEVEL", level)
        code, _, errors = ran("rules", "list")
        assert code == 70
        assert "penstock: this is a bug: ZeroDivisionError" in errors
        assert errors.count("Traceback") == traceback_lines


def test_as_a_process(tmp_path: Path) -> None:
    """Bytes that are not UTF-8, and an output that nobody reads any more."""
    penstock = [sys.executable, "-m", "app.cli"]
    for arguments in (
        [b"rules", b"get", b"\xff\xfe"],
        [b"rules", b"apply", b"\xff"],
        [b"token", b"a", b"--expires", b"0s"],
    ):
        found = subprocess.run([*penstock, *arguments], capture_output=True, check=False)
        assert found.returncode == 2
        assert len(found.stderr.splitlines()) == 1
        assert found.stdout == b""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        process = subprocess.run([*penstock, "--help"], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert process.returncode in {0, 1}
    assert b"Traceback" not in process.stderr
