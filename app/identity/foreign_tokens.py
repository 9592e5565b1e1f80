"""Tells bearer tokens of others from those that say they are of our issuer. Nothing that they say is believed."""

import json
from base64 import urlsafe_b64decode
from typing import Any

_URL_SAFE = str.maketrans("+/", "-_", "= \t\r\n")


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, with those whose names occur twice."""


def names_issuer(token: str, issuer: str) -> bool:
    """Whether a token's claims, however they are written, name this issuer.

    They are read more leniently than a verifier reads them, so that a token that any parser could take for one of
    this issuer is verified, and refused if it is not valid. What cannot be read as a JWT names nobody.
    """
    parts = token.split(".")
    return len(parts) > 1 and any(member == ("iss", issuer) for member in _claims(parts[1]))


def _claims(part: str) -> _Members:
    try:
        plain = part.translate(_URL_SAFE)
        decoded = urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
        found = json.loads(decoded.decode("utf-8-sig", errors="replace"), object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        return _Members()
    return found if isinstance(found, _Members) else _Members()
