"""The console examples of README and docs/, run in a fresh clone as a newcomer would run them."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.admin.dashboard.files import BUILT
from app.local.dashboard_build import is_current
from tests.support.documents import Document, documents
from tests.support.penstock_up import PATIENT
from tests.support.ports import free_port
from tests.support.processes import ROOT

SETUP_S = 420.0
PAGE_S = 600.0
START = re.compile(r"```bash\n(scripts/run --rules .*)\n```")
END_OF_OUTPUT = "\n@@@\n"

PAGES = [page for page in documents() if page.examples]

pytestmark = pytest.mark.xdist_group("documentation")  # all pages share one system


@dataclass(frozen=True)
class Clone:
    """A clone of the repository in which the system runs, as README starts it but on ports of its own."""

    folder: Path
    port: int
    admin_port: int

    def as_run_here(self, text: str) -> str:
        return text.replace(":8080", f":{self.port}").replace(":8081", f":{self.admin_port}")

    def as_written(self, text: str) -> str:
        return text.replace(f":{self.port}", ":8080").replace(f":{self.admin_port}", ":8081").replace("\r", "")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("clone")
    copy_repository(folder)
    port, admin_port = free_port(), free_port()
    (start,) = START.findall((ROOT / "README.md").read_text())
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | PATIENT
    log = folder / "run.out"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [*start.split(), "--port", str(port), "--admin-port", str(admin_port)],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + SETUP_S
        while "is ready" not in log.read_text():
            assert up.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield Clone(folder, port, admin_port)
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(30) == 0


def copy_repository(folder: Path) -> None:
    """Copy what is committed or about to be, and the dashboard, if it has been built from the same sources."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in names:
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
            target.chmod((ROOT / name).stat().st_mode)
    if BUILT.is_dir() and is_current():
        shutil.copytree(BUILT, folder / BUILT.relative_to(ROOT))


def test_readme_has_a_tour_of_examples() -> None:
    (readme,) = [page for page in PAGES if page.name == "README.md"]
    assert len(readme.examples) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_say_what_the_page_says(clone: Clone, page: Document) -> None:
    outputs = run(clone, [example.command for example in page.examples])
    for example, output in zip(page.examples, outputs, strict=True):
        assert matches(example.output, output), (
            f"{page.name}: {example.command}\nsaid\n{output}\nbut the page says\n{example.output}"
        )


def run(clone: Clone, commands: list[str]) -> list[str]:
    """The output of each command of one shell, standard error included."""
    script = "source .venv/bin/activate\n" + "".join(f"{command}\nprintf '\\n@@@\\n'\n" for command in commands)
    result = subprocess.run(
        ["bash", "-u"],
        input=clone.as_run_here(script),
        cwd=clone.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PAGE_S,
        check=False,
    )
    *outputs, rest = clone.as_written(result.stdout).split(END_OF_OUTPUT)
    assert len(outputs) == len(commands), f"the shell ended early: {rest}"
    return outputs


def matches(expected: str, output: str) -> bool:
    """Whether an output is as expected, where `…` stands for what is different each time."""
    pattern = ".*".join(re.escape(part) for part in trimmed(expected).split("…"))
    return re.fullmatch(pattern, trimmed(output)) is not None


def trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
