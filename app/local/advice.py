"""What a person can do about a store that does not start, by what its log says."""

import re
import shlex
import shutil
from pathlib import Path

_DAMAGED_AOF = re.compile(
    r"(?:Bad file format|Unexpected end of file) reading the append only file(?: (?P<name>[^\s:]+))?"
)
_CUT_AOF = "AOF loaded anyway because aof-load-truncated is enabled"
_STARTS = "Redis is starting"
_APPEND_ONLY_FILES = ("appendonlydir/*.incr.aof", "appendonlydir/*.base.aof", "appendonly.aof")


def advice(lines: list[str], folder: Path, redis_server: Path) -> str:
    """A sentence about a Redis whose append-only file is damaged; empty where the log does not say so."""
    if not any(_DAMAGED_AOF.search(line) for line in lines[-40:]):
        return ""
    file = _append_only_file(lines, folder)
    return (
        f"its append-only file is damaged, which a full disk or a crash can do; nothing is repaired by itself. Stop "
        f"`penstock up`, keep a copy of {folder}, then cut off the damaged end: {_check_command(redis_server, file)}"
    )


def was_cut(lines: list[str]) -> bool:
    """Whether Redis said at its latest start that it left out an unfinished write at the end of the file."""
    starts = [number for number, line in enumerate(lines) if _STARTS in line]
    return any(_CUT_AOF in line for line in lines[starts[-1] if starts else 0 :])


def _append_only_file(lines: list[str], folder: Path) -> Path:
    """The file that Redis could not read: the one that it names, else the newest one."""
    for line in reversed(lines):
        if (found := _DAMAGED_AOF.search(line)) and found["name"]:
            named = [path for path in folder.rglob(found["name"]) if path.is_file()]
            if named:
                return named[0]
    files = [path for pattern in _APPEND_ONLY_FILES for path in sorted(folder.glob(pattern))]
    return files[0] if files else folder / "appendonly.aof"


def _check_command(redis_server: Path, file: Path) -> str:
    """The command that repairs the file. `redis-server` itself is this tool, if it is called by the tool's name."""
    if shutil.which("redis-check-aof"):
        return f"redis-check-aof --fix {shlex.quote(str(file))}"
    return (
        f'bash -c \'exec -a redis-check-aof "$0" --fix "$1"\' {shlex.quote(str(redis_server))} {shlex.quote(str(file))}'
    )
