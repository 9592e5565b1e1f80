"""ExplainService over gRPC."""

from app.admin.grpc.calls import Servicer, read, rpc
from app.admin.grpc.messages import to_message
from app.admin.operators import Operator, OperatorAuthenticator, Role
from app.admin.proto import admin_pb2 as pb
from app.admin.proto import admin_pb2_grpc
from app.admin.services.explain import ExplainService
from app.admin.services.explain_model import ExplainRequest
from app.web.problem_handlers import OnUnavailable


class ExplainServicer(Servicer, admin_pb2_grpc.ExplainServiceServicer):
    """Calls the service that explains decisions."""

    def __init__(
        self, authenticator: OperatorAuthenticator, on_unavailable: OnUnavailable, explaining: ExplainService
    ) -> None:
        super().__init__(authenticator, on_unavailable)
        self._explaining = explaining

    @rpc(Role.VIEWER)
    async def Explain(self, operator: Operator, request: pb.ExplainRequest) -> pb.ExplainResponse:
        """Explain what would be decided about a request."""
        explanation = await self._explaining.explain(operator, read(request, ExplainRequest))
        return to_message(explanation.model_dump(mode="json"), pb.ExplainResponse)
