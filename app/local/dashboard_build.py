"""Builds the dashboard from its sources, if they have changed since it was built last.

    python -m app.local.dashboard_build [LOG]

`scripts/dashboard` and `penstock up` run this. What npm says goes to the log, or to where this process writes. A build
takes the place of the one before as a whole, once it is complete.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from app.admin.dashboard.build_state import clear_state, locked, write_state
from app.admin.dashboard.files import BUILT
from app.errors import StartupError
from app.local.node import OLDEST, PACKAGE, NodeTools, find_node

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "dashboard"
STAMP = ".sources"
"""A file in the built folder, and in npm's: what it was made from. The admin process does not serve it."""

NOT_SOURCES = frozenset({"node_modules", "dist", "README.md"})


def main() -> None:
    """Build if that is needed; exit with 1 and one line if it fails."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    log = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    try:
        with contextlib.ExitStack() as stack:
            output = None if log is None else stack.enter_context(log.open("ab"))
            DashboardBuild(SOURCES, BUILT, log, output).run()
    except (StartupError, OSError) as error:
        raise SystemExit(f"penstock: the dashboard was not built: {error}") from error


def is_current(sources: Path = SOURCES, built: Path = BUILT) -> bool:
    """Whether the dashboard is built from these sources; also where there are no sources, as in an installed wheel."""
    return not (sources / "package.json").is_file() or _stamp_in(built) == sources_stamp(sources)


def sources_stamp(sources: Path, *, with_tests: bool = False) -> str:
    """Return a checksum of everything that the build reads."""
    digest = hashlib.sha256()
    for path in sorted(_source_files(sources)):
        if ".test." in path.name and not with_tests:
            continue
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(sources).as_posix()} {content}\n".encode())
    return digest.hexdigest()


class DashboardBuild:
    """One build. `output` is where npm writes, `log` the file that it is, for the page that is shown meanwhile."""

    def __init__(self, sources: Path, built: Path, log: Path | None = None, output: IO[bytes] | None = None) -> None:
        self._sources = sources
        self._built = built
        self._log = log
        self._output = output

    def run(self) -> None:
        """Build, if the sources have changed. One build is made at a time. Raises StartupError, OSError."""
        state = self._built.parent
        with locked(state):
            if is_current(self._sources, self._built):
                clear_state(state)
                return
            write_state(state, "", self._log)
            try:
                self._build(self._tools())
            except (StartupError, OSError) as error:
                write_state(state, str(error), self._log)
                raise
            clear_state(state)

    def npm(self, *arguments: str) -> None:
        """Run a command of npm on the sources, once the packages are installed. Raises StartupError, OSError."""
        with locked(self._built.parent):
            tools = self._tools()
            self._install(tools)
        self._npm(tools, *arguments)

    def _build(self, tools: NodeTools) -> None:
        stamp, new = sources_stamp(self._sources), self._built.with_name(f"{self._built.name}.new")
        self._install(tools)
        shutil.rmtree(new, ignore_errors=True)
        self._npm(tools, "run", "build", "--", "--outDir", str(new), "--emptyOutDir")
        (new / STAMP).write_text(stamp)
        old = self._built.with_name(f"{self._built.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if self._built.exists():
            self._built.rename(old)
        new.rename(self._built)
        shutil.rmtree(old, ignore_errors=True)

    def _install(self, tools: NodeTools) -> None:
        """Install the packages, if they are not those of the lock file."""
        packages = self._sources / "node_modules"
        wanted = hashlib.sha256((self._sources / "package-lock.json").read_bytes()).hexdigest()
        if _stamp_in(packages) != wanted:
            self._npm(tools, "ci")
            (packages / STAMP).write_text(wanted)

    def _tools(self) -> NodeTools:
        tools = find_node()
        if tools is None:
            pinned = ("--constraint", str(ROOT / "constraints.txt")) if (ROOT / "constraints.txt").is_file() else ()
            self._run([sys.executable, "-m", "pip", "install", "--quiet", *pinned, PACKAGE], ROOT, None)
            tools = find_node()
        if tools is None:
            raise StartupError(f"it needs Node.js {'.'.join(map(str, OLDEST))} or later, with npm")
        return tools

    def _npm(self, tools: NodeTools, *arguments: str) -> None:
        self._run([*tools.npm, *arguments], self._sources, tools.environment())

    def _run(self, command: Sequence[str], folder: Path, environment: dict[str, str] | None) -> None:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=self._output, stderr=self._output, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait()
        finally:  # also where this process is told to end: npm leaves its own children behind
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if code != 0:
            shown = " ".join(command[:4])
            raise StartupError(f"`{shown}` ended with the exit code {code}")


def _source_files(sources: Path) -> list[Path]:
    tops = [path for path in sources.iterdir() if path.name not in NOT_SOURCES]
    return [file for top in tops for file in (top.rglob("*") if top.is_dir() else [top]) if file.is_file()]


def _stamp_in(folder: Path) -> str:
    try:
        return (folder / STAMP).read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
