"""Files of private keys, which only their owner may read."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.errors import StartupError

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def write_new_identity_key(file: Path) -> None:
    """Write a new key that signs `Penstock-Identity`. Raises StartupError, also if the file exists."""
    try:
        write_key(file, ed25519.Ed25519PrivateKey.generate())
    except OSError as error:
        raise StartupError(f"{file}: {error.strerror}") from error


def write_key(file: Path, key: PrivateKey) -> None:
    """Write `key` as PEM. Raises OSError, FileExistsError if the file exists."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        target.write(pem)
