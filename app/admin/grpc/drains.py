"""DrainService over gRPC."""

from app.admin.grpc.calls import Servicer, rpc
from app.admin.grpc.messages import Fields, to_fields, to_message
from app.admin.grpc.rules import for_seconds_of, precondition_of, rule_id_of, with_etag
from app.admin.operators import Operator, OperatorAuthenticator, Role
from app.admin.proto import admin_pb2 as pb
from app.admin.proto import admin_pb2_grpc
from app.admin.services.drains import Drains
from app.web.problem_handlers import OnUnavailable


class DrainServicer(Servicer, admin_pb2_grpc.DrainServiceServicer):
    """Calls the service of drains."""

    def __init__(self, authenticator: OperatorAuthenticator, on_unavailable: OnUnavailable, drains: Drains) -> None:
        super().__init__(authenticator, on_unavailable)
        self._drains = drains

    @rpc(Role.OPERATOR)
    async def SetDrainRate(self, operator: Operator, request: pb.SetDrainRateRequest) -> pb.SetDrainRateResponse:
        """Give a rule a drain rate of its own."""
        rule_id, drain = rule_id_of(request), to_fields(request.drain)
        precondition, for_seconds = precondition_of(request), for_seconds_of(request)
        rule = await self._drains.set_rate(operator, rule_id, drain, precondition, for_seconds)
        return to_message(with_etag(rule), pb.SetDrainRateResponse)

    @rpc(Role.OPERATOR)
    async def DeleteDrainRate(
        self, operator: Operator, request: pb.DeleteDrainRateRequest
    ) -> pb.DeleteDrainRateResponse:
        """Remove a rule's own drain rate."""
        rule = await self._drains.unset_rate(operator, rule_id_of(request), precondition_of(request))
        return to_message(with_etag(rule), pb.DeleteDrainRateResponse)

    @rpc(Role.OPERATOR)
    async def PauseDrain(self, operator: Operator, request: pb.PauseDrainRequest) -> pb.PauseDrainResponse:
        """Stop draining."""
        return to_message(await self._set_paused(operator, request, paused=True), pb.PauseDrainResponse)

    @rpc(Role.OPERATOR)
    async def ResumeDrain(self, operator: Operator, request: pb.ResumeDrainRequest) -> pb.ResumeDrainResponse:
        """Drain a paused rule again."""
        return to_message(await self._set_paused(operator, request, paused=False), pb.ResumeDrainResponse)

    @rpc(Role.OPERATOR)
    async def PurgeDrain(self, operator: Operator, request: pb.PurgeDrainRequest) -> pb.PurgeDrainResponse:
        """Cancel jobs of a rule that wait to be sent."""
        after = request.after if request.HasField("after") else None
        page = await self._drains.purge(operator, rule_id_of(request), after)
        return to_message({"canceled": page.canceled, "next": page.next}, pb.PurgeDrainResponse)

    async def _set_paused(
        self, operator: Operator, request: pb.PauseDrainRequest | pb.ResumeDrainRequest, *, paused: bool
    ) -> Fields:
        precondition, for_seconds = precondition_of(request), for_seconds_of(request)
        rule = await self._drains.set_paused(operator, rule_id_of(request), precondition, for_seconds, paused=paused)
        return {} if rule is None else with_etag(rule)
