"""The key of the development issuer, and the tokens that it signs."""

import getpass
import os
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from app.errors import InvalidInput, StartupError
from app.identity.key_file import PrivateKey, write_key
from app.settings import Settings

ISSUER = "penstock-dev"
KEY_ID = "dev"
KEY_FILE = "issuer.pem"
ROLES = ("viewer", "operator", "admin")


class DevelopmentKey:
    """The ES256 key of a data directory."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def load(cls, data_dir: Path) -> "DevelopmentKey":
        """Read the key that `penstock up` made. Raises StartupError if there is none."""
        try:
            key = serialization.load_pem_private_key((data_dir / KEY_FILE).read_bytes(), None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: the key has a password
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise StartupError(f"no development issuer in {data_dir}: start one with `penstock up`, or use --data-dir")
        return cls(key)

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a signed token with these claims."""
        return jwt.encode(claims, self._key, "ES256", {"kid": KEY_ID})

    def jwks(self) -> dict[str, Any]:
        """Return the key set to publish."""
        public = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": KEY_ID, "alg": "ES256", "use": "sig"}]}


def ensure_key(file: Path, key: PrivateKey) -> None:
    """Write `key` to a file that only its owner can read, unless the file exists."""
    if not file.exists():
        write_key(file, key)


def token_claims(
    settings: Settings, subject: str, claims: Mapping[str, str], expires: timedelta, role: str | None
) -> dict[str, Any]:
    """Return the claims of a token. With a role it is a token for the admin API. Raises InvalidInput."""
    if role is not None and role not in ROLES:
        raise InvalidInput(f"{role!r} is not a role: choose one of {', '.join(ROLES)}")
    role_claim = {} if role is None else {settings.admin_role_claim: role}
    now = int(time.time())
    times = {"iat": now, "exp": now + int(expires.total_seconds())}
    audience = settings.jwt_audience if role is None else settings.admin_audience
    return {**claims, **role_claim, "iss": ISSUER, "aud": audience, "sub": subject, **times}


def admin_token(settings: Settings, lifetime: timedelta) -> str:
    """Return an admin token for a command of a user who can read the data directory. Raises StartupError."""
    claims = token_claims(settings, f"cli:{user_name()}", {}, lifetime, "admin")
    return DevelopmentKey.load(settings.data_dir).sign(claims)


def user_name() -> str:
    """Return the name of the user of this process, or the number of one without a name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
