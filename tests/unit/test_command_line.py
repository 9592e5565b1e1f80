"""Whatever a command is given, it ends with an exit code of 0 to 3 and at most one line of error, and asks for nothing
that its arguments do not name."""

import contextlib
import inspect
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import typer
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.cli import app, run_command
from app.commands.options import AsJson
from tests.support.fake_admin import FakeAdmin

RESERVED = [*"!*'();:@&=+$,/?#[]% \"<>\\^`{|}~", "..", ".", "/../", "%2e%2e", "%2F", "\n", "\0", "é", "\ud800"]
JOB = "0-" + "x" * 22
RULES = ["get", "edit", "delete", "history", "restore"]
DRAINS = ["set", "unset", "pause", "resume", "purge"]


@pytest.fixture(scope="module")
def admin() -> Iterator[FakeAdmin]:
    admin = FakeAdmin()
    yield admin
    admin.close()


@pytest.fixture(scope="module", autouse=True)
def environment(admin: FakeAdmin) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
            patch.delenv(name)
        patch.setenv("PENSTOCK_ADMIN_URL", admin.url)
        patch.setenv("PENSTOCK_ADMIN_TOKEN", "token")
        patch.setenv("VISUAL", "true")
        patch.setattr("sys.stdin", io.StringIO())
        patch.setattr("typer.main.get_command", cache(typer.main.get_command))  # it takes longer than most commands
        yield


def ran(*arguments: str) -> tuple[int, str, str]:
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = run_command(list(arguments))
    return code, out.getvalue(), errors.getvalue()


def is_clean(code: int, errors: str, most: int = 2) -> None:
    assert 0 <= code <= most, errors
    lines = errors.splitlines()
    assert len(lines) == (1 if code else 0), errors
    assert len(errors) < 2100
    assert "Traceback" not in errors


@pytest.mark.parametrize("command", [*(("rules", one) for one in RULES), *(("drain", one) for one in DRAINS)])
def test_no_reserved_character_makes_another_path(admin: FakeAdmin, command: tuple[str, str]) -> None:
    more = ["5/s"] if command[1] == "set" else []
    options = ["--version", "3"] if command[1] == "restore" else []
    for reserved in RESERVED:
        for rule_id in (f"bob{reserved}drain", reserved):
            admin.targets.clear()
            code, _, errors = ran(*command, *options, "--", rule_id, *more)
            assert code in {1, 2}, (command, rule_id)
            is_clean(code, errors)
            assert all(target == "GET /v1/rules" for target in admin.targets), (rule_id, admin.targets)


def test_what_is_an_id_is_asked_for(admin: FakeAdmin) -> None:
    admin.targets.clear()
    assert [ran("rules", "delete", "per-user")[0], ran("drain", "pause", "a_1")[0]] == [0, 0]
    assert ran("rules", "get", "r", "--version", "3")[0] == 0
    assert admin.targets == ["DELETE /v1/rules/per-user", "POST /v1/rules/a_1/drain/pause", "GET /v1/rules/r/history/3"]


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
def test_no_reserved_character_makes_another_job(admin: FakeAdmin, command: tuple[str, str]) -> None:
    for reserved in RESERVED:
        admin.targets.clear()
        for job_id in (f"{JOB}{reserved}x", reserved, f"{JOB[:-1]}{reserved}!"):
            code, _, errors = ran(*command, "--", job_id)
            assert code in {1, 2}, job_id
            is_clean(code, errors)
        assert admin.targets == []
        is_clean(*ran(command[0], "list", "--rule", f"bob{reserved}typo")[::2])
        assert admin.targets == []


def test_text_that_is_no_id_goes_as_it_is(admin: FakeAdmin) -> None:
    for reserved in RESERVED:
        admin.targets.clear()
        is_clean(*ran("explain", "--user", f"a{reserved}b", "--", f"/x{reserved}y")[::2], most=3)
        assert {urlsplit(target.partition(" ")[2]).path for target in admin.targets} <= {"/v1/explain"}


COMMANDS = [
    *(["rules", one] for one in ["apply", "list", "get", "edit", "delete", "history", "restore", "preview"]),
    *(["drain", one] for one in DRAINS),
    *(["flows", one] for one in ["list", "get", "pause", "resume", "settings", "purge"]),
    *(["dead-letters", one] for one in ["list", "get", "replay", "delete"]),
    *(["operations", one] for one in ["list", "get", "cancel"]),
    *(["jobs", one] for one in ["list", "get", "cancel"]),
    ["explain"],
    ["audit"],
    ["token"],
    ["keygen"],
    ["completion"],
    ["status"],
    ["top"],
    [],
]
HARMLESS = {"up", "edge", "admin", "worker", "sync", "issuer", "keygen"}
TEXTS = st.text(max_size=12) | st.text("0123456789²٣/smhd-_.:?#%\n\0", max_size=12) | st.sampled_from(RESERVED)
LONG = st.sampled_from(["9" * 5000, "x" * 70_000, "9" * 5000 + "/s", "-" * 1000, "²s", "5/0s", "1" * 30 + "d"])
OPTIONS = st.sampled_from(
    [
        "--json",
        "--prune",
        "--dry-run",
        "--yes",
        "--limit",
        "--rule",
        "--since",
        "--code",
        "--failed-after",
        "--rate",
        "--wait",
        "--all",
        "--user",
        "--ip",
        "--method",
        "--claim",
        "--version",
        "--expires",
        "--admin",
        "--data-dir",
        "--url",
        "--token",
        "--token-file",
        "--profile",
        "--help",
        "--",
        "-",
        "--nope",
    ]
)
ARGUMENTS = st.lists(OPTIONS | TEXTS | LONG, max_size=5)


def test_the_fuzzed_commands_are_all_that_do_not_run_a_process() -> None:
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    found = {f"{name} {_name(one)}" for name, group in groups.items() if group for one in group.registered_commands}
    found |= {_name(one) for one in app.registered_commands}
    fuzzed = {" ".join(command) for command in COMMANDS if command}
    assert found - fuzzed <= HARMLESS | {"edge restart", "edge run"}, "a command is not fuzzed"


def test_each_command_that_answers_takes_json_for_scripts() -> None:
    def without(group: typer.Typer, *path: str) -> Iterator[str]:
        for one in group.registered_commands:
            assert one.callback is not None
            if not any(each.annotation == AsJson for each in inspect.signature(one.callback).parameters.values()):
                yield " ".join((*path, _name(one)))
        for inner in group.registered_groups:
            assert inner.typer_instance is not None
            yield from without(inner.typer_instance, *path, str(inner.name))

    assert set(without(app)) == {"up", "admin", "worker", "sync", "issuer", "completion"}


def _name(command: Any) -> str:  # noqa: ANN401 - typer's CommandInfo
    return str(command.name or command.callback.__name__.replace("_", "-"))


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != ["keygen"]], ids=" ".join)
@pytest.mark.parametrize("arguments", [[], ["r"], [JOB], ["r", "5/s"], ["--json"], ["r", "--json"]], ids=" ".join)
def test_every_command_ends_cleanly_with_few_arguments(command: list[str], arguments: list[str]) -> None:
    code, out, errors = ran(*command, *arguments)
    is_clean(code, errors if out == "" or code == 0 or errors else "printed help\n", most=3)
    assert "this is a bug" not in errors


@hypothesis_settings(max_examples=150)
@given(st.sampled_from(COMMANDS), ARGUMENTS)
@example(["token"], ["a", "--expires", "²s"])
@example(["rules", "history"], ["0"])
@example(["drain", "set"], ["r", "9" * 5000 + "/s"])
@example(["rules", "get"], ["x" * 70_000])
@example(["audit"], ["--since", "999999999d"])
@example(["audit"], ["--until", "0001-01-01T00:00+14:00"])
@example(["rules", "get"], ["a\nb"])
def test_any_command_line_ends_cleanly(command: list[str], arguments: list[str]) -> None:
    if command == ["keygen"] and arguments:  # it would write wherever it is told to
        arguments = ["--nope", *arguments]
    code, out, errors = ran(*command, *arguments)
    is_clean(code, errors if out == "" or code == 0 or errors else "printed help\n", most=3)
    assert "this is a bug" not in errors


@hypothesis_settings(max_examples=50)
@given(st.binary(max_size=200) | st.text("rules:\n -[]{}\"'&*!|>%@`,0123456789.eE+~", max_size=200).map(str.encode))
@example(b"rules: [{a: 2026-02-30}]")
@example(b"rules: " + b"9" * 5000)
@example(b"rules: " + b"[" * 50_000)
@example(b"rules: " + b"{a: " * 50_000)
def test_any_rules_file_ends_cleanly(tmp_path_factory: Any, content: bytes) -> None:  # noqa: ANN401
    folder = tmp_path_factory.getbasetemp()
    for name in ("fuzzed.yaml", "fuzzed.json"):
        (folder / name).write_bytes(content)
        code, _, errors = ran("rules", "apply", str(folder / name))
        is_clean(code, errors, most=1)


@hypothesis_settings(max_examples=50)
@given(
    st.binary(max_size=100)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5) | st.just(os.getpid()),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["pid", "processes", "role", "url"]), inner, max_size=4)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
@example(b"[]")
@example(b'{"pid": 1e400, "processes": []}')
@example(b'{"pid": 99999999999999999999, "processes": []}')
@example(b'{"pid": -1, "processes": []}')
def test_any_runtime_file_ends_cleanly(tmp_path_factory: Any, content: bytes) -> None:  # noqa: ANN401
    folder = tmp_path_factory.getbasetemp()
    (folder / "runtime.json").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PENSTOCK_ADMIN_URL")
        code, _, errors = ran("rules", "list", "--data-dir", str(folder))
        is_clean(code, errors, most=3)
        assert code == 3


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


def test_a_path_is_quoted_whatever_a_segment_is() -> None:
    from app.commands.admin_client import _path  # noqa: PLC0415

    for reserved in RESERVED:
        if reserved in {".", "..", "\ud800"}:
            continue
        path = _path(("rules", reserved))
        assert path.count("/") == 3
        assert unquote(path.rpartition("/")[2]) == reserved
