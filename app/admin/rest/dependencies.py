"""What the routes of the admin API depend on: the parts that the application was built with."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.admin.operators import OperatorAuthenticator
from app.admin.services.audit import Audit
from app.admin.services.dead_letters import DeadLetterService
from app.limiter.limiter import Limiter
from app.queue.operations import Operations
from app.rules.bulk import BulkWriter
from app.rules.cache import RuleCache
from app.rules.key_headers import KeyHeaders
from app.rules.store import RuleStore


@dataclass(frozen=True, slots=True)
class AdminParts:
    """What the routes use.

    `store` and `bulk_writer` read and write rules in MongoDB; `rules_in_force` are those of edges and workers.
    `key_headers` admits the rules that clients write.
    """

    store: RuleStore
    bulk_writer: BulkWriter
    authenticator: OperatorAuthenticator
    rules_in_force: RuleCache
    limiter: Limiter
    operations: Operations
    dead_letters: DeadLetterService
    key_headers: KeyHeaders
    audit: Audit


def admin_parts(request: Request) -> AdminParts:
    """Return the parts that `build_admin` was given."""
    parts: AdminParts = request.app.state.parts
    return parts


AdminPartsOf = Annotated[AdminParts, Depends(admin_parts)]
