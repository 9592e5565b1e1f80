"""Each command says quickly what it does: its help imports nothing that the command needs only when it runs."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer

from app.cli import app, run_command

HEAVY = ["fastapi", "httpx", "jwt", "motor", "pydantic", "pymongo", "redis", "rich", "starlette", "structlog", "uvloop"]
OWN_OPTIONS = {"penstock edge restart": {"pydantic"}}
"""What typer imports to read the options of a group that is a command too."""

MAX_CPU_S = 0.4
PROBE = """
import json, os, resource, sys
from app.cli import run_command

def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

start_s = cpu_s()
for path in json.load(sys.stdin):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:  # has everything that was imported, and counts its CPU time from 0
        code = run_command([*path, "--help"])
        imported = sorted({name.partition(".")[0] for name in sys.modules})
        print(json.dumps([code, start_s + cpu_s(), imported]), file=sys.stderr)
        break
    os.waitpid(child, 0)
"""


def commands(group: typer.Typer, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of each group and command below a group, and of itself."""
    yield path
    for one in group.registered_commands:
        assert one.callback is not None
        yield *path, one.name or one.callback.__name__.replace("_", "-")
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from commands(inner.typer_instance, *path, str(inner.name))


@pytest.mark.alone
def test_the_help_of_each_command_is_quick_and_imports_nothing_heavy() -> None:
    paths = list(commands(app))
    for path, (code, cpu_s, imported) in zip(paths, helped(paths), strict=True):
        name = " ".join(("penstock", *path))
        assert code == 0
        assert set(HEAVY) & set(imported) == OWN_OPTIONS.get(name, set()), name
        again_s = [helped([path])[0][1] for _ in range(3) if cpu_s >= MAX_CPU_S]  # the machine may have been busy
        assert min([cpu_s, *again_s]) < MAX_CPU_S, f"{name} --help takes {cpu_s:.2f} s of CPU"


def helped(paths: list[tuple[str, ...]]) -> list[tuple[int, float, list[str]]]:
    """Of the help of each command: the exit code, the CPU time in seconds, and the packages that were imported."""
    found = subprocess.run(
        [sys.executable, "-c", PROBE], input=json.dumps(paths), capture_output=True, text=True, check=True
    )
    for path in paths:
        assert f"Usage: {' '.join(('penstock', *path))} " in found.stdout
    return [tuple(json.loads(line)) for line in found.stderr.splitlines()]


def test_a_group_without_a_command_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for path in ([], ["rules"]):
        assert run_command(path) == 2
        printed = capsys.readouterr()
        assert printed.out.startswith(" ".join(["Usage: penstock", *path]))
        assert printed.err == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["completion", shell]) == 0
    assert f"_PENSTOCK_COMPLETE=complete_{shell}" in capsys.readouterr().out


def test_a_shell_completes_groups_commands_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_PENSTOCK_COMPLETE", "complete_bash")
    for typed, completed in (
        ("penstock dr", "drain"),
        ("penstock drain p", "pause\npurge"),
        ("penstock up --e", "--edges"),
    ):
        words = typed.split()
        monkeypatch.setenv("COMP_WORDS", typed)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        found = subprocess.run([sys.executable, "-m", "app.cli"], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == completed
