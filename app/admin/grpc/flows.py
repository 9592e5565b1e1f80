"""FlowService over gRPC."""

from app.admin.grpc.calls import Servicer, read, rpc
from app.admin.grpc.messages import Fields, to_message
from app.admin.grpc.rules import for_seconds_of
from app.admin.operators import Operator, OperatorAuthenticator, Role
from app.admin.proto import admin_pb2 as pb
from app.admin.proto import admin_pb2_grpc
from app.admin.services.flow_settings import FlowSettingService
from app.admin.services.flows import FlowService
from app.admin.services.flows_model import FlowQuery, FlowRateFields, FlowSettings
from app.web.problem_handlers import OnUnavailable


class FlowServicer(Servicer, admin_pb2_grpc.FlowServiceServicer):
    """Calls the service of flows."""

    def __init__(
        self,
        authenticator: OperatorAuthenticator,
        on_unavailable: OnUnavailable,
        flows: FlowService,
        settings: FlowSettingService,
    ) -> None:
        super().__init__(authenticator, on_unavailable)
        self._flows = flows
        self._settings = settings

    @rpc(Role.VIEWER)
    async def ListFlows(self, operator: Operator, request: pb.ListFlowsRequest) -> pb.ListFlowsResponse:
        """List flows, page by page."""
        page = await self._flows.page(operator, read(request, FlowQuery))
        return to_message(page.model_dump(mode="json"), pb.ListFlowsResponse)

    @rpc(Role.VIEWER)
    async def GetFlow(self, operator: Operator, request: pb.GetFlowRequest) -> pb.GetFlowResponse:
        """Show one flow as it is now."""
        flow = await self._flows.get(operator, request.flow_id)
        return to_message({"flow": flow.model_dump(mode="json")}, pb.GetFlowResponse)

    @rpc(Role.OPERATOR)
    async def PurgeFlow(self, operator: Operator, request: pb.PurgeFlowRequest) -> pb.PurgeFlowResponse:
        """Cancel jobs that wait in a flow."""
        after = request.after if request.HasField("after") else None
        purged = await self._flows.purge(operator, request.flow_id, after)
        return to_message(purged.model_dump(mode="json"), pb.PurgeFlowResponse)

    @rpc(Role.OPERATOR)
    async def PauseFlow(self, operator: Operator, request: pb.PauseFlowRequest) -> pb.PauseFlowResponse:
        """Pause a flow."""
        for_seconds = for_seconds_of(request)
        settings = await self._settings.set_paused(operator, request.flow_id, paused=True, for_seconds=for_seconds)
        return to_message(_fields(settings), pb.PauseFlowResponse)

    @rpc(Role.OPERATOR)
    async def ResumeFlow(self, operator: Operator, request: pb.ResumeFlowRequest) -> pb.ResumeFlowResponse:
        """Resume a flow that was paused by itself."""
        settings = await self._settings.set_paused(operator, request.flow_id, paused=False)
        return to_message(_fields(settings), pb.ResumeFlowResponse)

    @rpc(Role.OPERATOR)
    async def SetFlowRate(self, operator: Operator, request: pb.SetFlowRateRequest) -> pb.SetFlowRateResponse:
        """Set the rate of a flow."""
        rate = read(request.rate, FlowRateFields)
        settings = await self._settings.set_rate(operator, request.flow_id, rate, for_seconds_of(request))
        return to_message(_fields(settings), pb.SetFlowRateResponse)

    @rpc(Role.OPERATOR)
    async def DeleteFlowRate(self, operator: Operator, request: pb.DeleteFlowRateRequest) -> pb.DeleteFlowRateResponse:
        """Remove the rate of a flow."""
        return to_message(
            _fields(await self._settings.unset_rate(operator, request.flow_id)), pb.DeleteFlowRateResponse
        )


def _fields(settings: FlowSettings) -> Fields:
    return {"settings": settings.model_dump(mode="json")}
