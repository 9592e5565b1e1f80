"""StatusService over gRPC."""

from app.admin.grpc.calls import Servicer, rpc
from app.admin.grpc.messages import to_message
from app.admin.operators import Operator, OperatorAuthenticator, Role
from app.admin.proto import admin_pb2 as pb
from app.admin.proto import admin_pb2_grpc
from app.admin.services.status import StatusService
from app.web.problem_handlers import OnUnavailable


class StatusServicer(Servicer, admin_pb2_grpc.StatusServiceServicer):
    """Calls the service that gathers the status."""

    def __init__(
        self, authenticator: OperatorAuthenticator, on_unavailable: OnUnavailable, status: StatusService
    ) -> None:
        super().__init__(authenticator, on_unavailable)
        self._status = status

    @rpc(Role.VIEWER)
    async def GetStatus(self, operator: Operator, request: pb.GetStatusRequest) -> pb.GetStatusResponse:
        """Say how the installation is."""
        status = await self._status.status(operator)
        return to_message({"status": status.model_dump(mode="json")}, pb.GetStatusResponse)
