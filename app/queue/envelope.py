"""Encrypts stored requests that hold credentials, with AES-256-GCM and the job id as associated data.

An encrypted request is `MAGIC`, the name of its key, a line feed, the nonce and the ciphertext.
"""

import os
from collections.abc import Mapping
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import PenstockError
from app.jobs.model import StoredRequest, decode_request, encode_request
from app.settings import Settings

MAGIC = b"\x00"
"""What an encrypted request begins with. A plain one begins with JSON."""

NONCE_BYTES = 12


class UnreadableRequest(PenstockError):
    """A stored request that is damaged, or whose key is not configured."""


class Envelope:
    """Encodes and decodes stored requests. It encrypts with the first of its keys and decrypts with any."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = {name: AESGCM(key) for name, key in keys.items()}
        self._first = next(iter(keys), None)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """An envelope with the keys of PENSTOCK_ENVELOPE_KEYS."""
        return cls(settings.envelope_keys)

    def encode(self, job_id: str, request: StoredRequest, *, seal: bool) -> bytes:
        """The stored form of a job's request, encrypted if `seal` is set and there is a key."""
        plain = encode_request(request)
        if not seal or self._first is None:
            return plain
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._keys[self._first].encrypt(nonce, plain, job_id.encode())
        return MAGIC + self._first.encode() + b"\n" + nonce + sealed

    def decode(self, job_id: str, stored: bytes) -> StoredRequest:
        """The inverse of `encode`. Raises UnreadableRequest."""
        try:
            return decode_request(self._decrypted(job_id, stored) if stored.startswith(MAGIC) else stored)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise UnreadableRequest("The stored request cannot be read: it is damaged.") from error

    def _decrypted(self, job_id: str, stored: bytes) -> bytes:
        name, _, sealed = stored.removeprefix(MAGIC).partition(b"\n")
        key = self._keys.get(name.decode("latin-1"))
        if key is None:
            raise UnreadableRequest("The stored request cannot be read: its key is not in PENSTOCK_ENVELOPE_KEYS.")
        try:
            return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], job_id.encode())
        except InvalidTag as error:
            raise UnreadableRequest("The stored request cannot be read: it was changed.") from error
