"""The caller of a request, by which rules, limits and the ownership of jobs are decided."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """The subject, issuer and claims of the verified token, if there is one, and the address as it is counted.

    Compared by identity: an edge keeps one object for each token and address, and caches rules by it (RuleCache).
    """

    subject: str | None
    issuer: str | None
    claims: Mapping[str, Any]
    address: str
