"""What a wheel carries: the built dashboard, and all that is no Python."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.dashboard_build import write_build

ROOT = Path(__file__).parents[2]
PARTS = ("app", "consumers", "sync", "pyproject.toml", "setup.py", "README.md", "LICENSE")
NOT_COPIED = shutil.ignore_patterns("__pycache__", "built*", "build-state.*")
BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"


def test_a_wheel_carries_the_built_dashboard(tmp_path: Path) -> None:
    tree, wheels = tmp_path / "tree", tmp_path / "wheels"
    tree.mkdir()
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=NOT_COPIED)
        else:
            shutil.copy(ROOT / name, tree / name)
    write_build(tree / "app" / "admin" / "dashboard" / "built")
    (tree / "app" / "admin" / "dashboard" / "build-state.json").write_text("{}")
    subprocess.run([sys.executable, "-c", BUILD, str(wheels)], cwd=tree, check=True, capture_output=True)
    [wheel] = wheels.glob("penstock-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    built = {name for name in names if name.startswith("app/admin/dashboard/") and not name.endswith(".py")}
    assert built == {
        "app/admin/dashboard/built/index.html",
        "app/admin/dashboard/built/icon.svg",
        "app/admin/dashboard/built/assets/index-Ab12Cd34.js",
        "app/admin/dashboard/built/assets/index-Ef56Gh78.css",
        "app/admin/dashboard/built/assets/icon-Ij90Kl12.woff2",
    }
    here = {
        path.relative_to(ROOT).as_posix()
        for folder in ("app", "consumers", "sync")
        for path in (ROOT / folder).rglob("*.lua")
    }
    assert here <= names
