"""Requests that hold credentials, encrypted as they wait: AES-256-GCM, bound to their job."""

import os
from collections.abc import Mapping
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import PenstockError
from app.jobs.model import StoredRequest, decode_request, encode_request
from app.settings import Settings

MAGIC = b"\x00"
"""What no plain request begins with."""

NONCE_BYTES = 12


class UnreadableRequest(PenstockError):
    """A stored request that was changed, or that was encrypted with a key which is not here."""


class Envelope:
    """Seals with the first key, opens with any. A sealed request is MAGIC, key id, line feed, nonce, ciphertext."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = {name: AESGCM(key) for name, key in keys.items()}
        self._first = next(iter(keys), None)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With the keys of PENSTOCK_ENVELOPE_KEYS."""
        return cls(settings.envelope_keys)

    def encode(self, job_id: str, request: StoredRequest, *, seal: bool) -> bytes:
        """As it is stored; `seal` needs a key."""
        plain = encode_request(request)
        if not seal or self._first is None:
            return plain
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._keys[self._first].encrypt(nonce, plain, job_id.encode())
        return MAGIC + self._first.encode() + b"\n" + nonce + sealed

    def decode(self, job_id: str, stored: bytes) -> StoredRequest:
        """The inverse of `encode`; raises UnreadableRequest."""
        try:
            return decode_request(self._opened(job_id, stored) if stored.startswith(MAGIC) else stored)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise UnreadableRequest("The stored request cannot be read: it is damaged.") from error

    def _opened(self, job_id: str, stored: bytes) -> bytes:
        name, _, sealed = stored.removeprefix(MAGIC).partition(b"\n")
        key = self._keys.get(name.decode("latin-1"))
        if key is None:
            raise UnreadableRequest("The stored request cannot be read: its key is not in PENSTOCK_ENVELOPE_KEYS.")
        try:
            return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], job_id.encode())
        except InvalidTag as error:
            raise UnreadableRequest("The stored request cannot be read: it was changed.") from error
