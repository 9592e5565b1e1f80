"""JobService over gRPC."""

from app.admin.grpc.calls import Servicer, read, rpc
from app.admin.grpc.messages import to_message
from app.admin.operators import Operator, OperatorAuthenticator, Role
from app.admin.proto import admin_pb2 as pb
from app.admin.proto import admin_pb2_grpc
from app.admin.services.jobs import JobService
from app.admin.services.jobs_model import JobQuery
from app.web.problem_handlers import OnUnavailable


class JobServicer(Servicer, admin_pb2_grpc.JobServiceServicer):
    """Calls the service of jobs."""

    def __init__(self, authenticator: OperatorAuthenticator, on_unavailable: OnUnavailable, jobs: JobService) -> None:
        super().__init__(authenticator, on_unavailable)
        self._jobs = jobs

    @rpc(Role.VIEWER)
    async def ListJobs(self, operator: Operator, request: pb.ListJobsRequest) -> pb.ListJobsResponse:
        """List jobs, page by page."""
        page = await self._jobs.page(operator, read(request, JobQuery))
        return to_message(page.model_dump(mode="json"), pb.ListJobsResponse)

    @rpc(Role.VIEWER)
    async def GetJob(self, operator: Operator, request: pb.GetJobRequest) -> pb.GetJobResponse:
        """Show a job with its timeline."""
        job = await self._jobs.get(operator, request.job_id)
        return to_message({"job": job.model_dump(mode="json")}, pb.GetJobResponse)

    @rpc(Role.OPERATOR)
    async def CancelJob(self, operator: Operator, request: pb.CancelJobRequest) -> pb.CancelJobResponse:
        """Cancel a job that has not been sent."""
        await self._jobs.cancel(operator, request.job_id)
        return pb.CancelJobResponse()
