"""All services of the gRPC API, made of the parts that the REST API has too."""

from functools import partial
from typing import Any, cast

from app.admin.composition import AdminParts
from app.admin.grpc.drains import DrainServicer
from app.admin.grpc.explain import ExplainServicer
from app.admin.grpc.flows import FlowServicer
from app.admin.grpc.jobs import JobServicer
from app.admin.grpc.rules import RuleServicer
from app.admin.grpc.server import AddService
from app.admin.grpc.status import StatusServicer
from app.admin.proto import admin_pb2_grpc as services
from app.web.problem_handlers import OnUnavailable


def grpc_services(parts: AdminParts, on_unavailable: OnUnavailable) -> list[AddService]:
    """Return what adds each service to a server. `on_unavailable` is told of each call that becomes UNAVAILABLE."""
    who = parts.authenticator
    rules = RuleServicer(who, on_unavailable, parts.rules)
    drains = DrainServicer(who, on_unavailable, parts.drains)
    flows = FlowServicer(who, on_unavailable, parts.flows, parts.flow_settings)
    jobs = JobServicer(who, on_unavailable, parts.jobs)
    explaining = ExplainServicer(who, on_unavailable, parts.explain)
    status = StatusServicer(who, on_unavailable, parts.status)
    return [
        partial(cast(Any, services.add_RuleServiceServicer_to_server), rules),
        partial(cast(Any, services.add_DrainServiceServicer_to_server), drains),
        partial(cast(Any, services.add_FlowServiceServicer_to_server), flows),
        partial(cast(Any, services.add_JobServiceServicer_to_server), jobs),
        partial(cast(Any, services.add_ExplainServiceServicer_to_server), explaining),
        partial(cast(Any, services.add_StatusServiceServicer_to_server), status),
    ]
