"""The caller of a request, by which rules, limits and the ownership of jobs are decided."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TIME_CLAIMS = frozenset({"exp", "nbf", "iat"})
"""Claims that each new token has anew (RFC 7519, 4.1), so nobody can be counted by them."""


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """The subject, issuer and claims of the verified token, if there is one, and the address as it is counted.

    Compared by identity: an edge keeps one object for each token and address, and caches rules by it (RuleCache).
    """

    subject: str | None
    issuer: str | None
    claims: Mapping[str, Any]
    address: str
    header_keys: Mapping[str, str] = field(default_factory=dict)
    """The values of the headers by which rules count: `header:<name>` to the text, `secret:<name>` to its hash."""


def claim_text(value: object) -> str | None:
    """The text by which a claim is counted: a string as it is, a number or boolean as its JSON text.

    None for what is not counted: no claim, null, a list or an object.
    """
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else None
