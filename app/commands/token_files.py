"""Files that hold a token."""

import os
import re
from pathlib import Path

from app.errors import StartupError

MAX_TOKEN_LENGTH = 16_384
_TOKEN = re.compile(r"[\x21-\x7e]+")


def is_token(text: str) -> bool:
    """Whether a text can be sent as a bearer token."""
    return len(text) <= MAX_TOKEN_LENGTH and _TOKEN.fullmatch(text) is not None


def read_token(file: Path) -> str:
    """Read a token from a file that only its owner may read or write. Raises StartupError."""
    try:
        with file.open() as opened:
            if os.fstat(opened.fileno()).st_mode & 0o077:
                raise StartupError(f"{file}: others can use this file: run `chmod 600 {file}`, and get a new token")
            text = opened.read(MAX_TOKEN_LENGTH + 2).strip()
    except OSError as error:
        raise StartupError(f"{file}: {error.strerror}") from error
    except ValueError:  # it is not text, or the path has a NUL
        text = ""
    if not is_token(text):
        raise StartupError(f"{file}: this is not a token")
    return text
