"""Who calls: a value that rules, limits and jobs are decided by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Who asks: the verified token's subject, issuer and claims, and the address as canonical text.

    Known by identity: an edge keeps one for each token and address, and plans by it (RuleCache).
    """

    subject: str | None
    issuer: str | None
    claims: Mapping[str, Any]
    address: str
