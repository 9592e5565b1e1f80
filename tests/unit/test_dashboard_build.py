"""The build of the dashboard: made when sources have changed, whole or not at all, one at a time. npm is a stand-in."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.admin.dashboard.build_state import locked, read_state
from app.errors import StartupError
from app.local.dashboard_build import DashboardBuild, is_current
from app.local.node import find_node, is_new_enough
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
NPM = f"""#!{sys.executable}
import os, pathlib, sys, time
here = pathlib.Path.cwd()
with (here.parent / "called").open("a") as called:
    called.write(" ".join(sys.argv[1:3]) + "\\n")
print("npm says", sys.argv[1], flush=True)
if sys.argv[1] == "ci":
    (here / "node_modules").mkdir(exist_ok=True)
else:
    out = pathlib.Path(sys.argv[sys.argv.index("--outDir") + 1])
    out.mkdir()
    (out / "index.html").write_text((here / "src.txt").read_text())
    if (here / "waits").exists():
        (here.parent / "pid").write_text(str(os.getpid()))
        time.sleep(600)
    if (here / "fails").exists():
        sys.exit(7)
"""


class Tree:
    """Sources with a stand-in of npm, and the folder that they are built into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources, self.state = folder / "dashboard", folder / "served"
        self.built, self.log = self.state / "built", folder / "log"
        for path in (self.sources, self.state, folder / "bin"):
            path.mkdir()
        (self.sources / "package.json").write_text("{}")
        (self.sources / "package-lock.json").write_text("{}")
        self.write("one")
        for name, text in (("npm", NPM), ("node", "#!/bin/sh\necho v20.19.0\n")):
            file = folder / "bin" / name
            file.write_text(text)
            file.chmod(file.stat().st_mode | stat.S_IXUSR)

    def write(self, text: str) -> None:
        (self.sources / "src.txt").write_text(text)

    def build(self) -> None:
        with self.log.open("ab") as output:
            DashboardBuild(self.sources, self.built, self.log, output).run()

    def called(self) -> list[str]:
        """What npm was asked for since the last time."""
        file = self.folder / "called"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    found = Tree(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return found


def test_it_is_built_once_and_again_when_sources_change(tree: Tree) -> None:
    assert not is_current(tree.sources, tree.built)
    tree.build()
    assert tree.called() == ["ci", "run build"]
    assert is_current(tree.sources, tree.built)
    assert (tree.built / "index.html").read_text() == "one"
    assert "npm says" in tree.log.read_text()
    tree.build()
    assert tree.called() == []
    (tree.sources / "src.test.ts").write_text("a test is no part of it")
    (tree.sources / "node_modules" / "x.js").write_text("nor are packages")
    tree.build()
    assert tree.called() == []
    tree.write("two")
    assert not is_current(tree.sources, tree.built)
    tree.build()
    assert tree.called() == ["run build"], "the packages are those of the lock file"
    assert (tree.built / "index.html").read_text() == "two"
    (tree.sources / "package-lock.json").write_text('{"more": 1}')
    tree.build()
    assert tree.called() == ["ci", "run build"]
    assert sorted(path.name for path in tree.state.iterdir()) == ["build-state.lock", "built"]


def test_a_build_that_fails_leaves_the_last_one_and_says_why(tree: Tree) -> None:
    tree.build()
    tree.write("two")
    (tree.sources / "fails").touch()
    with pytest.raises(StartupError, match=r"`.*npm run build.*` ended with the exit code 7"):
        tree.build()
    state = read_state(tree.state)
    assert state is not None
    assert (state.is_under_way, state.log) == (False, tree.log)
    assert "exit code 7" in state.error
    assert (tree.built / "index.html").read_text() == "one"
    (tree.sources / "fails").unlink()
    tree.build()
    assert read_state(tree.state) is None
    assert (tree.built / "index.html").read_text() == "two"


def test_two_builds_at_once_are_one(tree: Tree) -> None:
    with locked(tree.state):
        threads = [threading.Thread(target=tree.build) for _ in range(3)]
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join(60)
    assert tree.called() == ["ci", "run build"]


def test_a_build_that_is_told_to_end_leaves_nothing_running(tree: Tree) -> None:
    (tree.sources / "waits").touch()
    code = (
        "import sys, pathlib, app.local.dashboard_build as build; root = pathlib.Path(sys.argv.pop(1)); "
        "build.SOURCES, build.BUILT = root / 'dashboard', root / 'served' / 'built'; build.main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tree.folder), str(tree.log)])
    wait_for(lambda: (tree.folder / "pid").exists() and (tree.folder / "pid").read_text() != "", 60)
    state = read_state(tree.state)
    assert state is not None
    assert state.is_under_way
    npm = int((tree.folder / "pid").read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    wait_for(lambda: not Path(f"/proc/{npm}").exists(), 10)
    assert read_state(tree.state) is None, "it is not under way, and did not fail"
    assert not tree.built.exists()


def test_without_sources_there_is_nothing_to_build(tmp_path: Path) -> None:
    assert is_current(tmp_path / "dashboard", tmp_path / "built")


@pytest.mark.parametrize(
    ("version", "is_one"),
    [
        ("v20.19.0\n", True),
        ("v24.1.0", True),
        ("v20.18.3", False),
        ("v18.20.0", False),
        ("", False),
        ("20.19.0", False),
    ],
)
def test_versions_of_node(version: str, is_one: bool) -> None:
    assert is_new_enough(version) == is_one


def test_an_old_node_is_not_used(tree: Tree) -> None:
    tools = find_node()
    assert tools is not None
    assert tools.folder == tree.folder / "bin"
    (tree.folder / "bin" / "node").write_text("#!/bin/sh\necho v18.20.0\n")
    other = find_node()
    assert other is None or other.folder != tree.folder / "bin"


def test_no_lock_file_names_a_registry() -> None:
    assert "omit-lockfile-registry-resolved=true" in (ROOT / "dashboard" / ".npmrc").read_text().splitlines()
    lock = json.loads((ROOT / "dashboard" / "package-lock.json").read_text())
    for name, package in lock["packages"].items():
        assert "://" not in json.dumps({key: value for key, value in package.items() if key != "funding"}), name
    for file in ROOT.glob("constraints*.txt"):
        assert "://" not in file.read_text(), file
