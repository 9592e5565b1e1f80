"""RuleService over gRPC."""

from datetime import UTC
from typing import Annotated, Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask
from pydantic import Field, TypeAdapter

from app.admin.grpc.calls import Servicer, read, rpc
from app.admin.grpc.messages import Fields, to_fields, to_message
from app.admin.operators import Operator, OperatorAuthenticator, Role
from app.admin.proto import admin_pb2 as pb
from app.admin.proto import admin_pb2_grpc
from app.admin.services.preconditions import ANY, Precondition
from app.admin.services.rules import Rules
from app.admin.services.rules_model import DocumentId, NamedRule, PageSize, RuleSearch, Version
from app.errors import InvalidInput
from app.rules.digest import etag_of
from app.rules.model import Rule, to_json
from app.rules.temporary import MAX_FOR_S
from app.web.problem_handlers import OnUnavailable

DEFAULT_VERSIONS = 100

_DOCUMENT_ID: TypeAdapter[str] = TypeAdapter(DocumentId)
_PAGE_SIZE: TypeAdapter[int] = TypeAdapter(PageSize)
_FOR_SECONDS: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=1, le=MAX_FOR_S)])
_VERSION: TypeAdapter[int] = TypeAdapter(Version)


class RuleServicer(Servicer, admin_pb2_grpc.RuleServiceServicer):
    """Calls the service of rules."""

    def __init__(self, authenticator: OperatorAuthenticator, on_unavailable: OnUnavailable, rules: Rules) -> None:
        super().__init__(authenticator, on_unavailable)
        self._rules = rules

    @rpc(Role.VIEWER)
    async def GetRule(self, operator: Operator, request: pb.GetRuleRequest) -> pb.GetRuleResponse:
        """Read a rule."""
        return to_message(with_etag(await self._rules.get(operator, rule_id_of(request))), pb.GetRuleResponse)

    @rpc(Role.VIEWER)
    async def ListRules(self, operator: Operator, request: pb.ListRulesRequest) -> pb.ListRulesResponse:
        """List rules, page by page."""
        page = await self._rules.page(operator, read(request, RuleSearch).as_query())
        invalid = [
            {
                "rule_id": one.name,
                "document_key": one.document_key,
                "problem": one.problem,
                "version_in_force": one.version_in_force,
            }
            for one in page.invalid
        ]
        fields = {"rules": [to_json(rule) for rule in page.rules], "invalid": invalid, "next": page.next}
        return to_message(fields, pb.ListRulesResponse)

    @rpc(Role.ADMIN)
    async def CreateRule(self, operator: Operator, request: pb.CreateRuleRequest) -> pb.CreateRuleResponse:
        """Create a rule."""
        return to_message(with_etag(await self._rules.create(operator, to_fields(request.rule))), pb.CreateRuleResponse)

    @rpc(Role.ADMIN)
    async def UpdateRule(self, operator: Operator, request: pb.UpdateRuleRequest) -> pb.UpdateRuleResponse:
        """Change the named fields of a rule, or replace all of them."""
        rule_id = rule_id_of(request.rule)
        fields, precondition, for_seconds = to_fields(request.rule), precondition_of(request), for_seconds_of(request)
        if request.HasField("update_mask"):
            rule = await self._rules.update(
                operator, rule_id, fields, paths_of(request.update_mask), precondition, for_seconds
            )
        else:
            if for_seconds is not None:
                raise InvalidInput("for_seconds: give an update_mask with the fields that change for a while")
            rule, _ = await self._rules.put(operator, rule_id, fields, precondition)
        return to_message(with_etag(rule), pb.UpdateRuleResponse)

    @rpc(Role.ADMIN)
    async def DeleteRule(self, operator: Operator, request: pb.DeleteRuleRequest) -> pb.DeleteRuleResponse:
        """Delete a rule."""
        rule_id = _DOCUMENT_ID.validate_python(request.rule_id)
        await self._rules.delete(operator, rule_id, precondition_of(request))
        return pb.DeleteRuleResponse()

    @rpc(Role.VIEWER)
    async def ListRuleVersions(
        self, operator: Operator, request: pb.ListRuleVersionsRequest
    ) -> pb.ListRuleVersionsResponse:
        """List the versions of a rule, newest first."""
        limit = _PAGE_SIZE.validate_python(request.limit) if request.HasField("limit") else DEFAULT_VERSIONS
        versions = await self._rules.history(operator, rule_id_of(request), limit)
        listed = [
            {"at": at.replace(tzinfo=at.tzinfo or UTC).isoformat(), "rule": to_json(rule) if rule else None}
            for at, rule in versions
        ]
        return to_message({"versions": listed}, pb.ListRuleVersionsResponse)

    @rpc(Role.ADMIN)
    async def RestoreRule(self, operator: Operator, request: pb.RestoreRuleRequest) -> pb.RestoreRuleResponse:
        """Make an earlier version of a rule its latest one."""
        rule_id, version = rule_id_of(request), _VERSION.validate_python(request.version)
        rule, _ = await self._rules.restore(operator, rule_id, version, precondition_of(request))
        return to_message(with_etag(rule), pb.RestoreRuleResponse)


def rule_id_of(request: Any) -> str:  # noqa: ANN401 - any message with a rule_id
    """Return the rule that a request names. Raises ValidationError."""
    return NamedRule(rule_id=request.rule_id).rule_id


def for_seconds_of(request: Any) -> int | None:  # noqa: ANN401 - any message with for_seconds
    """Return how long a change is to last. Raises ValidationError."""
    return _FOR_SECONDS.validate_python(request.for_seconds) if request.HasField("for_seconds") else None


def precondition_of(request: Any) -> Precondition:  # noqa: ANN401 - any message with an etag
    """Return the precondition of a request that changes a rule."""
    return Precondition(frozenset({request.etag})) if request.HasField("etag") else ANY


def paths_of(mask: FieldMask) -> list[str]:
    """Return the paths of a mask as the fields of a rule are named. Raises InvalidInput for one that names no field."""
    if not mask.IsValidForDescriptor(cast(Descriptor, pb.Rule.DESCRIPTOR)):
        raise InvalidInput("update_mask: it has a path that names no field of a rule")
    return ["cost" if path in {"fixed_cost", "variable_cost"} else path for path in mask.paths]


def with_etag(rule: Rule) -> Fields:
    """Return the fields of an answer with a rule."""
    return {"rule": to_json(rule), "etag": etag_of(rule)}
