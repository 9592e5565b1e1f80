"""Whatever a command is given, it ends with an exit code of 0 to 3 and at most one line of error."""

import json
import os
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.cli import app
from tests.support.command_line import JOB, RESERVED, is_clean, ran

pytestmark = pytest.mark.usefixtures("fake_admin")

DRAINS = ["set", "unset", "pause", "resume", "purge"]
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
    ["dashboard"],
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
        "--for",
        "--descriptor",
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
