"""The key of `Penstock-Identity`: made by a command, and required unless it is switched off."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import StartupError
from app.identity.identity_token import load_identity_tokens
from app.settings import Settings

PENSTOCK = Path(sys.executable).parent / "penstock"


def penstock(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PENSTOCK, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_a_new_key_signs_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "identity.pem"
    assert penstock("keygen", str(file)).returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    tokens = load_identity_tokens(Settings(identity_key_file=file))
    assert tokens.token(("https://issuer.test", "alice")) is not None
    assert len(tokens.jwks()["keys"]) == 1


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "identity.pem"
    file.write_text("precious")
    answer = penstock("keygen", str(file))
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)
    assert answer.stderr.startswith(f"penstock: {file}: ")
    assert file.read_text() == "precious"


def test_a_key_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    answer = penstock("keygen", str(tmp_path / "nowhere" / "identity.pem"))
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("role", ["edge", "worker"])
def test_a_process_that_sends_requests_does_not_start_without_a_key(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_IDENTITY_KEY_FILE", raising=False)
    answer = penstock(role)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith("penstock: PENSTOCK_IDENTITY_KEY_FILE is not set")


def test_switched_off_there_is_no_token() -> None:
    tokens = load_identity_tokens(Settings(identity="off"))
    assert tokens.token(("https://issuer.test", "alice")) is None
    assert tokens.jwks() == {"keys": []}


def test_without_a_key_the_message_names_both_ways_out() -> None:
    with pytest.raises(StartupError, match=r"penstock keygen FILE.*PENSTOCK_IDENTITY=off"):
        load_identity_tokens(Settings())
