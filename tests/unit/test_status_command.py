"""`penstock status` beside `penstock up`: what it prints, and its exit code."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from app.local.development_key import KEY_FILE, ensure_key
from app.local.runtime import RunningProcess, write_runtime
from tests.support.command_line import ran
from tests.support.fake_admin import FakeAdmin
from tests.support.ports import free_port


@pytest.fixture
def admin() -> Iterator[FakeAdmin]:
    admin = FakeAdmin()
    yield admin
    admin.close()


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ADMIN_URL", "PROFILE"):
        monkeypatch.delenv(f"PENSTOCK_{name}", raising=False)
    ensure_key(tmp_path / KEY_FILE, ec.generate_private_key(ec.SECP256R1()))
    return tmp_path


def running(data_dir: Path, admin_url: str, down_since: float | None = None) -> None:
    edge = RunningProcess("edge", 0, 12345, 8080, "http://127.0.0.1:8080", None, down_since, "its last line")
    write_runtime(data_dir, [edge, RunningProcess("admin", 0, 12346, 8081, admin_url, None)])


def test_all_is_well(admin: FakeAdmin, data_dir: Path) -> None:
    running(data_dir, admin.url)
    code, out, errors = ran("status", "--data-dir", str(data_dir))
    assert (code, errors) == (0, "")
    for text in ("edge-0", "12345", "runs", "rules: version 0"):
        assert text in out


def test_what_is_down_is_wrong(admin: FakeAdmin, data_dir: Path) -> None:
    running(data_dir, admin.url, down_since=1.0)
    code, out, _ = ran("status", "--data-dir", str(data_dir))
    assert code == 1
    assert "edge-0 has been down for" in out
    assert "its last line" in out


def test_scripts_are_told_what_is_wrong(admin: FakeAdmin, data_dir: Path) -> None:
    running(data_dir, admin.url, down_since=1.0)
    code, out, _ = ran("status", "--data-dir", str(data_dir), "--json")
    found = json.loads(out)
    assert code == 1
    assert ["edge-0 has been down for" in problem for problem in found["problems"]] == [True]
    assert [process["role"] for process in found["processes"]] == ["edge", "admin"]


def test_without_an_admin_api_what_runs_here_is_said_all_the_same(data_dir: Path) -> None:
    running(data_dir, f"http://127.0.0.1:{free_port()}")
    code, out, _ = ran("status", "--data-dir", str(data_dir))
    assert code == 1
    assert "edge-0" in out
    assert "does not answer" in out


def test_another_installation_must_answer(data_dir: Path) -> None:
    code, _, errors = ran("status", "--url", f"http://127.0.0.1:{free_port()}", "--token", "t")
    assert code == 3
    assert "does not answer" in errors
