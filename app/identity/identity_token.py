"""`Penstock-Identity`: a signed token that tells the app server who the verified caller is."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from jwt.algorithms import OKPAlgorithm

from app.errors import StartupError
from app.process.lru_cache import TwoGenerationLRUCache
from app.settings import Settings

LIFETIME_S = 60
REUSED_FOR_S = 30
CACHE_SIZE = 20_000
ISSUER = "penstock"
AUDIENCE = "app"

_PEM = re.compile(rb"-----BEGIN (PRIVATE|PUBLIC) KEY-----.+?-----END \1 KEY-----", re.DOTALL)


class IdentityTokens:
    """Signs tokens and reuses each for half a minute. Without a key there are no tokens.

    `others` are published beside the signing key: keys that signed before a rotation, or will sign after it.
    """

    def __init__(
        self,
        key: Ed25519PrivateKey | None,
        others: Sequence[Ed25519PublicKey] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = key
        self._clock = clock
        self._public = [_jwk(public) for public in ([key.public_key()] if key else []) + list(others)]
        self._minted: TwoGenerationLRUCache[tuple[str, str], tuple[bytes, float]] = TwoGenerationLRUCache(CACHE_SIZE)

    def token(self, caller: tuple[str, str] | None) -> bytes | None:
        """The token of a verified caller (`iss`, `sub`); None for an anonymous caller or without a key."""
        if self._key is None or caller is None:
            return None
        now_s = self._clock()
        minted = self._minted.get(caller)
        if minted is None or not 0 <= now_s - minted[1] < REUSED_FOR_S:
            minted = (self._mint(self._key, caller, int(now_s)).encode(), now_s)
            self._minted.put(caller, minted)
        return minted[0]

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JSON Web Key Set, for app servers to verify tokens with."""
        return {"keys": self._public}

    def _mint(self, key: Ed25519PrivateKey, caller: tuple[str, str], now_s: int) -> str:
        issuer, subject = caller
        times = {"iat": now_s, "exp": now_s + LIFETIME_S}
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "orig_iss": issuer} | times
        return jwt.encode(claims, key, "EdDSA", {"kid": self._public[0]["kid"]})


def _jwk(key: Ed25519PublicKey) -> dict[str, Any]:
    """The public key as a JWK. Its `kid` is derived from the key, so that all edges and workers agree on it."""
    jwk = dict(OKPAlgorithm.to_jwk(key, as_dict=True))
    return jwk | {"kid": str(jwk["x"])[:16], "alg": "EdDSA", "use": "sig"}


def load_identity_tokens(settings: Settings) -> IdentityTokens:
    """Load the keys from a PEM file: first the Ed25519 private key that signs, then any others, private or public.

    Raises StartupError, also if there is no file and `PENSTOCK_IDENTITY` does not say that none is wanted: app servers
    would silently see no caller.
    """
    if settings.identity == "off":
        return IdentityTokens(None)
    key_file = settings.identity_key_file
    if key_file is None:
        raise StartupError(
            "PENSTOCK_IDENTITY_KEY_FILE is not set: make a key with `penstock keygen FILE`, or set"
            " PENSTOCK_IDENTITY=off if your app servers need not know who calls"
        )
    try:
        keys = [_loaded(*found) for found in _pem_blocks(key_file.read_bytes())]
    except (OSError, ValueError) as error:
        raise StartupError(f"PENSTOCK_IDENTITY_KEY_FILE: {error}") from error
    first = keys[0] if keys else None
    if not isinstance(first, Ed25519PrivateKey):
        raise StartupError("PENSTOCK_IDENTITY_KEY_FILE: must begin with an Ed25519 private key")
    others = [key.public_key() if isinstance(key, Ed25519PrivateKey) else key for key in keys[1:]]
    return IdentityTokens(first, others)


def _pem_blocks(text: bytes) -> list[tuple[bytes, bytes]]:
    blocks = [(found[1], found[0]) for found in _PEM.finditer(text)]
    if len(blocks) != text.count(b"-----BEGIN"):
        raise ValueError("it holds more than unencrypted PRIVATE KEY and PUBLIC KEY blocks")
    return blocks


def _loaded(kind: bytes, pem: bytes) -> Ed25519PrivateKey | Ed25519PublicKey:
    key = load_pem_private_key(pem, None) if kind == b"PRIVATE" else load_pem_public_key(pem)
    if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        raise ValueError("every key must be an Ed25519 key")
    return key
