"""The password of both Redis of `penstock up`."""

import os
import secrets
from pathlib import Path

from app.errors import StartupError

FILE = "redis-password"


def ensure_password(data_dir: Path) -> str:
    """Read the password of this data directory, which is made when it is first needed. Raises StartupError.

    Only the owner can read the file. Redis reads the password from its configuration file, so that no list of processes
    shows it.
    """
    file = data_dir / FILE
    try:
        if not file.exists():
            write_private(file, secrets.token_urlsafe(32))
        password = file.read_text().strip()
    except (OSError, ValueError) as error:
        raise StartupError(f"{file} cannot be used: {getattr(error, 'strerror', None) or error}") from error
    if not password or not set(password) <= _CHARACTERS:
        raise StartupError(f"{file} holds no password: delete it, and another one is made")
    return password


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step. Raises OSError."""
    draft = file.with_name(f"{file.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as target:
        os.fchmod(target.fileno(), 0o600)
        target.write(text)
    draft.replace(file)


_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
"""Those of base64url: they need no quoting in URLs nor in Redis's configuration."""
