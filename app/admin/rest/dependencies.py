"""What the routes of the admin API depend on: the parts that the application was built with."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.admin.operators import OperatorAuthenticator
from app.admin.services.audit import Audit
from app.admin.services.dead_letters import DeadLetterService
from app.admin.services.drains import Drains
from app.admin.services.flows import FlowService
from app.admin.services.operations import OperationService
from app.admin.services.rules import Rules
from app.limiter.limiter import Limiter
from app.queue.operations import Operations
from app.rules.cache import RuleCache
from app.rules.key_headers import KeyHeaders


@dataclass(frozen=True, slots=True)
class AdminParts:
    """What the routes use: who calls, and the services. `rules_in_force` are those of edges and workers."""

    authenticator: OperatorAuthenticator
    rules: Rules
    drains: Drains
    audit: Audit
    rules_in_force: RuleCache
    limiter: Limiter
    operations: Operations
    dead_letters: DeadLetterService
    operation_service: OperationService
    key_headers: KeyHeaders
    flows: FlowService


def admin_parts(request: Request) -> AdminParts:
    """Return the parts that `build_admin` was given."""
    parts: AdminParts = request.app.state.parts
    return parts


AdminPartsOf = Annotated[AdminParts, Depends(admin_parts)]
