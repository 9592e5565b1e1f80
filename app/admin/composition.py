"""Composes what both faces of the admin API use: who calls, and the services."""

import asyncio
from dataclasses import dataclass

import httpx
from redis.asyncio import Redis

from app.admin.dashboard.attempts import SignInAttempts
from app.admin.dashboard.files import BUILT, DashboardFiles
from app.admin.dashboard.oidc_client import oidc_client
from app.admin.dashboard.oidc_provider import OidcProvider
from app.admin.dashboard.sign_in import SignIn
from app.admin.dashboard.tickets import Tickets
from app.admin.operators import OperatorAuthenticator
from app.admin.services.audit import Audit
from app.admin.services.dead_letters import DeadLetterService
from app.admin.services.drains import Drains
from app.admin.services.explain import ExplainService
from app.admin.services.flow_rates import FlowRates
from app.admin.services.flow_setting_ends import FlowSettingEnds
from app.admin.services.flow_settings import FlowSettingService
from app.admin.services.flows import FlowService
from app.admin.services.job_cancellation import JobCancellation
from app.admin.services.jobs import JobService
from app.admin.services.operation_kinds import operation_kinds
from app.admin.services.operation_runner import OperationRunner
from app.admin.services.operation_store import OperationStore
from app.admin.services.operations import OperationService
from app.admin.services.paused import PausedCounts, PausedFlows
from app.admin.services.preview import Previews
from app.admin.services.rules import Rules
from app.admin.services.status import StatusService
from app.admin.services.status_gathering import StatusGathering
from app.admin.services.stores import Stores
from app.audit.log import AuditLog
from app.clients import MongoDatabase
from app.identity.addresses import ClientAddresses
from app.identity.tokens import TokenVerifier
from app.limiter.redis_limiter import RedisLimiter
from app.queue.dead_letter_batches import DeadLetterBatches
from app.queue.dead_letters import DeadLetters
from app.queue.flow_settings import FlowSettingStore
from app.queue.flow_views import FlowViews
from app.queue.job_purge import JobPurge
from app.queue.operations import Operations
from app.redis_wire.scripts import Scripts
from app.rules.bulk import BulkWriter
from app.rules.cache import RuleCache
from app.rules.key_headers import KeyHeaders
from app.rules.listing import RuleListing
from app.rules.paused_rules import PausedRules
from app.rules.store import RuleStore
from app.settings import Settings
from app.traffic.exchange import TrafficCollector


@dataclass(frozen=True, slots=True)
class AdminStores:
    """The stores as the admin API reaches them. `counter_scripts` runs on the cache Redis."""

    database: MongoDatabase
    cache: Redis
    queue: Redis
    counter_scripts: Scripts
    queue_scripts: Scripts


@dataclass(frozen=True, slots=True)
class AdminParts:
    """What both faces use: who calls, and the services; and what does operations in the background.

    `base_path`: the path of a reverse proxy below which everything is served, or nothing.
    """

    authenticator: OperatorAuthenticator
    rules: Rules
    previews: Previews
    drains: Drains
    audit: Audit
    explain: ExplainService
    status: StatusService
    dead_letters: DeadLetterService
    operations: OperationService
    operation_runner: OperationRunner
    flows: FlowService
    jobs: JobService
    flow_settings: FlowSettingService
    flow_setting_ends: FlowSettingEnds
    dashboard: DashboardFiles
    sign_in: SignIn
    addresses: ClientAddresses
    base_path: str


def admin_parts_of(
    settings: Settings,
    stores: AdminStores,
    rules_in_force: RuleCache,
    verifier: TokenVerifier,
    http: httpx.AsyncClient,
    closing: asyncio.Event,
) -> AdminParts:
    """Return the parts of an admin API on these stores. Answers without an end are ended once `closing` is set.

    `http` is the client for the OpenID Connect issuer. Raises StartupError.
    """
    queue, queue_scripts = stores.queue, stores.queue_scripts
    audit_log, key_headers = AuditLog(stores.database), KeyHeaders(settings)
    audit = Audit(audit_log)
    rules = Rules(RuleStore(stores.database), RuleListing(stores.database), BulkWriter(stores.database), key_headers)
    operations = Operations(queue, queue_scripts, settings)
    dead_letters, batches = DeadLetters(queue, queue_scripts, settings), DeadLetterBatches(queue_scripts, settings)
    operation_store = OperationStore(stores.database, audit_log)
    cancellation = JobCancellation.on(queue, queue_scripts, settings)
    kinds = operation_kinds(batches, JobPurge(queue_scripts, settings), cancellation, rules_in_force)
    runner = OperationRunner(operation_store, kinds)
    flow_settings, rates = FlowSettingStore(queue, queue_scripts), FlowRates(rules_in_force)
    authenticator = OperatorAuthenticator(verifier, settings)
    paused = PausedFlows(flow_settings)
    flows = FlowService(FlowViews(queue_scripts, settings), rates, flow_settings, paused, operations, audit)
    return AdminParts(
        authenticator=authenticator,
        rules=rules,
        previews=Previews(rules, key_headers, TrafficCollector(stores.cache)),
        drains=Drains(rules, operations, audit),
        audit=audit,
        explain=ExplainService(rules_in_force, RedisLimiter(stores.counter_scripts), settings.no_rule),
        status=StatusService(_status_gathering(settings, stores, flows, paused).gather, closing),
        dead_letters=DeadLetterService(dead_letters, batches, rules_in_force, key_headers.names, audit),
        operations=OperationService(operation_store, kinds, runner.wake),
        operation_runner=runner,
        jobs=JobService.on(queue, queue_scripts, settings, audit),
        flows=flows,
        flow_settings=FlowSettingService(flow_settings, rules_in_force, operations, audit),
        flow_setting_ends=FlowSettingEnds(flow_settings, audit_log),
        dashboard=DashboardFiles(BUILT, settings.admin_base_path),
        sign_in=_sign_in(settings, stores.cache, authenticator, http),
        addresses=ClientAddresses(settings.trusted_proxies),
        base_path=settings.admin_base_path,
    )


def _sign_in(settings: Settings, cache: Redis, authenticator: OperatorAuthenticator, http: httpx.AsyncClient) -> SignIn:
    client = oidc_client(settings)
    provider = None if client is None else OidcProvider(client, http)
    return SignIn(authenticator, Tickets(cache), SignInAttempts(settings.bad_tokens_per_minute), provider)


def _status_gathering(
    settings: Settings, stores: AdminStores, flows: FlowService, paused: PausedFlows
) -> StatusGathering:
    looked_at = Stores(stores.database, stores.cache, stores.queue, settings)
    counts = PausedCounts(paused, PausedRules(stores.database))
    return StatusGathering(
        stores.cache, stores.queue, looked_at, settings.queue_partitions, flows.index, counts, flows.drain
    )
