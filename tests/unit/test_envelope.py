"""The encryption of stored requests that hold credentials."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import StartupError
from app.jobs.model import StoredRequest
from app.queue.envelope import Envelope, UnreadableRequest
from app.settings import Settings, load_settings

REQUEST = StoredRequest("POST", b"/x", [(b"authorization", b"Bearer secret")], b"body", ("iss", "sub"))
ENVELOPE = Envelope({"new": b"n" * 32, "old": b"o" * 32})


def test_an_encrypted_request_can_be_decrypted_for_its_own_job_only() -> None:
    sealed = ENVELOPE.encode("job", REQUEST, seal=True)
    assert b"secret" not in sealed
    assert b"body" not in sealed
    assert ENVELOPE.decode("job", sealed) == REQUEST
    with pytest.raises(UnreadableRequest):
        ENVELOPE.decode("another", sealed)
    assert ENVELOPE.encode("job", REQUEST, seal=True) != sealed, "a nonce is used once"


def test_an_old_key_still_decrypts_after_a_rotation() -> None:
    before = Envelope({"old": b"o" * 32}).encode("job", REQUEST, seal=True)
    assert ENVELOPE.decode("job", before) == REQUEST
    assert ENVELOPE.encode("job", REQUEST, seal=True).startswith(b"\x00new\n")
    with pytest.raises(UnreadableRequest, match="PENSTOCK_ENVELOPE_KEYS"):
        Envelope({"new": b"n" * 32}).decode("job", before)


@given(st.integers(0, 8 * len(ENVELOPE.encode("job", REQUEST, seal=True)) - 1))
def test_a_flipped_bit_is_detected(bit: int) -> None:
    sealed = bytearray(ENVELOPE.encode("job", REQUEST, seal=True))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(UnreadableRequest):
        ENVELOPE.decode("job", bytes(sealed))


@pytest.mark.parametrize("stored", [b"", b"[", b"{}\n", b"[1]\n", b"\x00", b"[1,2,3,4]\n"])
def test_damaged_requests_are_unreadable(stored: bytes) -> None:
    with pytest.raises(UnreadableRequest):
        ENVELOPE.decode("job", stored)


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    text = base64.urlsafe_b64encode(b"k" * 32).decode()
    monkeypatch.setenv("PENSTOCK_ENVELOPE_KEYS", f"b:{text}, a:{text.rstrip('=')}")
    settings = load_settings()
    assert settings.envelope_keys == {"b": b"k" * 32, "a": b"k" * 32}
    assert "kkkk" not in repr(settings)
    monkeypatch.setenv("PENSTOCK_ENVELOPE_KEYS", "a:short")
    with pytest.raises(StartupError, match="PENSTOCK_ENVELOPE_KEYS"):
        load_settings()
    assert Settings.model_fields["envelope_keys"].repr is False
