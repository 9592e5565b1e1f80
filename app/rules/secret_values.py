"""The hashes that stand for the values of secret headers, in every store and wherever rules are shown."""

import hmac
import re
from typing import Final

_HASHED: Final = re.compile(r"hmac-sha256:[0-9a-f]{64}")

HASHED_PATTERN: Final = f"^{_HASHED.pattern}$"


def hashed(value: bytes, key: bytes) -> str:
    """The HMAC-SHA-256 of a header's value, as rules and descriptors write it: `hmac-sha256:<hexadecimal digits>`."""
    return f"hmac-sha256:{hmac.digest(key, value, 'sha256').hex()}"


def is_hashed(value: str) -> bool:
    """Whether this is what `hashed` writes."""
    return _HASHED.fullmatch(value) is not None
