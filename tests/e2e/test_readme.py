"""The README's tour in a fresh clone, as a newcomer would take it; and that it names every setting."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from app.settings import Settings
from tests.support.ports import free_port
from tests.support.system import ROOT

SETUP_S = 420.0
README = (ROOT / "README.md").read_text()


def test_it_names_every_setting() -> None:
    named = set(re.findall(r"PENSTOCK_[A-Z0-9_]+", README))
    assert {f"PENSTOCK_{name.upper()}" for name in Settings.model_fields} <= named


def tour() -> list[tuple[str, str]]:
    """The commands of the tour, each with the output that it should have."""
    section = README.split("## A tour")[1].split("\n## ")[0]
    steps: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], ""))
            else:
                command, expected = steps.pop()
                steps.append((command, expected + line + "\n"))
    return steps


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What is committed, and what is about to be."""
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in files:
        if (ROOT / name).is_file():
            target = tmp_path / "clone" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
            target.chmod((ROOT / name).stat().st_mode)
    return tmp_path / "clone"


def test_the_tour_is_true(clone: Path) -> None:
    port, admin_port = free_port(), free_port()
    (start,) = re.findall(r"```bash\n(scripts/run --rules .*)\n```", README)
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    output = clone / "run.out"
    with output.open("wb") as out:
        up = subprocess.Popen(
            [*start.split(), "--port", str(port), "--admin-port", str(admin_port)],
            cwd=clone,
            env=environment,
            stdout=out,
            stderr=out,
        )
    try:
        until = time.monotonic() + SETUP_S
        while "is ready" not in output.read_text():
            assert up.poll() is None, output.read_text()
            assert time.monotonic() < until, output.read_text()
            time.sleep(0.1)
        walk(clone, port)
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(30) == 0


def walk(clone: Path, port: int) -> None:
    steps = tour()
    assert len(steps) > 10
    script = "".join(f"{command}\nprintf '\\n@@@\\n'\n" for command, _ in steps).replace(":8080", f":{port}")
    result = subprocess.run(
        ["bash", "-u"], input=script, cwd=clone, capture_output=True, text=True, timeout=120, check=False
    )
    outputs = result.stdout.split("\n@@@\n")
    assert len(outputs) == len(steps) + 1, result.stderr
    for (command, expected), said in zip(steps, outputs, strict=False):
        shown = said.replace(f":{port}", ":8080").replace("\r", "")
        assert re.fullmatch(pattern(expected), tidy(shown)), f"{command}\nsaid\n{shown}\nexpected\n{expected}"


def pattern(expected: str) -> str:
    """`…` stands for what is different each time."""
    return ".*".join(re.escape(part) for part in tidy(expected).split("…"))


def tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
