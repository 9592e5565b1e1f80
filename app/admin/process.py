"""Composes the admin process: builds its parts and runs them until the process is told to stop."""

from contextlib import AsyncExitStack

from app.admin.composition import AdminStores, admin_parts_of
from app.admin.flow_metrics import FlowMetrics
from app.admin.grpc.server import serve_grpc
from app.admin.grpc.services import grpc_services
from app.admin.rest.application import build_admin
from app.clients import mongodb, open_clients
from app.http1.server.asgi import as_application
from app.identity.tokens import TokenVerifier
from app.process.heartbeat import ProcessHeartbeat
from app.process.lifecycle import Process, alongside
from app.process.listen import Listen
from app.process.serving import serve
from app.process.unavailability import TroubleLog, Unavailability
from app.rules.cache import RuleCache
from app.rules.version_age import RulesVersionAge

ADMIN_ADDRESS = Listen("127.0.0.1", 8081)
ADMIN_MONGODB_TIMEOUT_S = 3.0
"""How long one call to MongoDB may take, so that an operator gets an answer within a few seconds."""


async def run_admin_process(process: Process) -> None:
    """Run `penstock admin`: serve the admin API until the process is told to stop."""
    settings = process.settings
    async with AsyncExitStack() as stack:
        mongo = mongodb(settings, ADMIN_MONGODB_TIMEOUT_S)
        stack.callback(mongo.close)
        clients = await stack.enter_async_context(open_clients(settings, settings.cache_timeout_ms))
        rules = RuleCache(clients.cache, settings)
        verifier = TokenVerifier(settings, clients.http, settings.admin_audience)
        unavailability = Unavailability(process.registry, TroubleLog())
        stores = AdminStores(
            mongo[settings.mongodb_database],
            clients.cache,
            clients.queue,
            clients.counter_scripts,
            clients.queue_scripts,
        )
        parts = admin_parts_of(settings, stores, rules, verifier, clients.http, process.draining)
        FlowMetrics(process.registry, parts.flows.index)
        runner = parts.operation_runner
        stack.push_async_callback(runner.finish)
        heartbeat = ProcessHeartbeat(clients.cache, "admin", RulesVersionAge(rules).report)
        working = (parts.flows.run(), parts.flow_setting_ends.run(), runner.run(process.stop))
        background = (rules.run(process.stop), verifier.run(), *working, heartbeat.run())
        await stack.enter_async_context(alongside(process, *background))
        process.ready.set()
        if process.grpc_listen is not None:
            services = grpc_services(parts, unavailability.refused)
            over_grpc = serve_grpc(services, process.grpc_listen, process.stop)
            await stack.enter_async_context(alongside(process, over_grpc))
        admin = as_application(build_admin(parts, unavailability.refused))
        await serve(admin, process, process.listen or ADMIN_ADDRESS, unavailability.refused)
