"""`Penstock-Identity`: tells the app server who the verified caller is, signed by us at the time of sending."""

import time
from pathlib import Path
from typing import Any

import jwt
from cachetools import TTLCache
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import OKPAlgorithm

from app.errors import StartupError

LIFETIME_S = 60
REUSED_FOR_S = 30
ISSUER = "penstock"
AUDIENCE = "app"


class IdentityTokens:
    """Mints one token per caller and half a minute. Without a key there are none."""

    def __init__(self, key: Ed25519PrivateKey | None) -> None:
        self._key = key
        self._minted: TTLCache[tuple[str, str], bytes] = TTLCache(10_000, REUSED_FOR_S)

    def token(self, caller: tuple[str, str] | None) -> bytes | None:
        """For a verified caller (`iss`, `sub`); None for the anonymous."""
        if self._key is None or caller is None:
            return None
        minted = self._minted.get(caller)
        if minted is None:
            minted = self._minted[caller] = self._mint(caller).encode()
        return minted

    def jwks(self) -> dict[str, Any]:
        """The public key, for app servers to verify with."""
        if self._key is None:
            return {"keys": []}
        return {"keys": [self._public() | {"kid": self._kid(), "alg": "EdDSA", "use": "sig"}]}

    def _mint(self, caller: tuple[str, str]) -> str:
        now = int(time.time())
        issuer, subject = caller
        times = {"iat": now, "exp": now + LIFETIME_S}
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "orig_iss": issuer} | times
        assert self._key is not None, "checked by token()"
        return jwt.encode(claims, self._key, "EdDSA", {"kid": self._kid()})

    def _public(self) -> dict[str, Any]:
        assert self._key is not None, "checked by the caller"
        return dict(OKPAlgorithm.to_jwk(self._key.public_key(), as_dict=True))

    def _kid(self) -> str:
        """Short, and a function of the key: all edges and workers agree on it."""
        return str(self._public()["x"])[:16]


def load_identity_tokens(key_file: Path | None) -> IdentityTokens:
    """From a PEM file with an Ed25519 private key; raises StartupError."""
    if key_file is None:
        return IdentityTokens(None)
    try:
        key = load_pem_private_key(key_file.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise StartupError(f"PENSTOCK_IDENTITY_KEY_FILE: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StartupError("PENSTOCK_IDENTITY_KEY_FILE: must hold an Ed25519 private key")
    return IdentityTokens(key)
