"""Deferral: turns a request into a job, which is stored durably before the request is answered."""

import math
import re
from collections.abc import Sequence
from contextlib import suppress

from app.decision import Defer, RuleResult, backlog_markers_of, cost_of, frozen_charges
from app.edge.poll_limit import PollLimit
from app.edge.request import SCHEME, Request
from app.errors import (
    BodyTooLarge,
    CountersUnavailable,
    IdempotencyConflict,
    InvalidInput,
    MalformedRequest,
    QueueUnavailable,
)
from app.identity.authentication import Authenticator
from app.identity.caller import Caller
from app.jobs.model import Job, StoredRequest, owner_of
from app.limiter.limiter import Limiter
from app.queue.disk import Disk
from app.queue.job_queue import JobQueue
from app.queue.model import Deferral, Enqueued, Full
from app.rules.active import ActiveRule
from app.rules.cache import RuleCache
from app.rules.match import Match
from app.settings import Settings
from app.web.headers import Headers, to_store, to_upstream

MAX_KEY_LENGTH = 255
_QUOTED_KEY = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\])*)"')  # RFC 9651, 3.3.3
_BARE_KEY = re.compile(rb"[!-~]*")
_ESCAPED = re.compile(rb'\\(["\\])')


class JobSubmitter:
    """Submits requests as jobs to their flows, and finds the jobs of repeated requests."""

    def __init__(
        self,
        queue: JobQueue,
        disk: Disk,
        limiter: Limiter,
        authenticator: Authenticator,
        poll_limit: PollLimit,
        rules: RuleCache,
        settings: Settings,
    ) -> None:
        self._queue = queue
        self._disk = disk
        self._limiter = limiter
        self._authenticator = authenticator
        self._poll_limit = poll_limit
        self._rules = rules
        self._has_key = bool(settings.envelope_keys)
        self._max_body_bytes = settings.max_deferred_body_bytes

    async def find_existing(self, request: Request, caller: Caller, matches: Sequence[Match]) -> Job | None:
        """Find the job that was made with the request's idempotency key; None without a key or a rule that defers.

        No limit has been asked yet, so a known key spends from the caller's poll limit. Raises MalformedRequest,
        IdempotencyConflict, TooManyRequests, QueueUnavailable.
        """
        deferring = [match for match in matches if match.rule.defers]
        owner = owner_of(caller.issuer, caller.subject)
        if not deferring or not owner:
            return None
        key = idempotency_key(request.headers)
        if key is None:
            return None
        flows = [(match.rule.rule_id, match.descriptor) for match in deferring]
        try:
            stored = await self._stored(request, caller, deferring[0])
        except BodyTooLarge:  # it cannot have been deferred, so the key can only belong to another request
            stored = None
        try:
            job = await self._queue.find_by_idempotency_key(flows, owner, key, stored)
        except IdempotencyConflict:
            self._poll_limit.spend(caller)
            raise
        if job is not None:
            self._poll_limit.spend(caller)
        return job

    async def submit(
        self, request: Request, caller: Caller, decision: Defer, results: Sequence[RuleResult]
    ) -> Enqueued | Full:
        """Enqueue the request under the rule that defers it, and set the backlog marker if its flow was empty.

        Raises BodyTooLarge, IdempotencyConflict, QueueUnavailable, and InvalidInput for a key of an anonymous caller.
        """
        key, owner = idempotency_key(request.headers), owner_of(caller.issuer, caller.subject)
        if key is not None and not owner:
            raise InvalidInput("An idempotency key needs a token: without one, nobody owns the job.")
        if not self._disk.has_room:
            raise QueueUnavailable("The queue's disk is nearly full.", "disk_full")
        match, matches = decision.by.match, [one.match for one in results]
        rule = match.rule
        answer = await self._queue.enqueue(
            Deferral(
                rule=rule,
                charges=frozen_charges(match, matches),
                owner=owner,
                request=await self._stored(request, caller, match),
                caller=match.caller,
                idempotency_key=key,
                seal=self._seals(match),
                due_in_us=_due_in_us(match.rule, decision),
                interval_us=_interval_us(match.rule, results),
            )
        )
        if isinstance(answer, Enqueued) and answer.flow_was_empty and not rule.overtaking:
            # Set before the 202. That is early enough: the caller was just refused, so no unit is free yet.
            marker = backlog_markers_of(match)[-1]
            with suppress(CountersUnavailable):  # the job is stored already, and its worker sets the marker too
                await self._limiter.set_backlog_marker(marker, answer.at_us, rule.backlog_marker_ttl_s)
        return answer

    def _seals(self, match: Match) -> bool:
        """Whether the request is stored encrypted, with its credentials: the rule must ask for it and a key be set."""
        return match.rule.queue.keep_credentials and self._has_key

    async def _stored(self, request: Request, caller: Caller, match: Match) -> StoredRequest:
        trusted = self._authenticator.trusts(request.peer)
        client_ip = self._authenticator.client_ip(request)
        headers = to_upstream(request.headers, client=request.peer, client_ip=client_ip, scheme=SCHEME, trusted=trusted)
        subject = (caller.issuer, caller.subject) if caller.issuer and caller.subject else None
        secret = self._rules.secret_headers
        kept = to_store(headers, match.rule.queue.drop_headers, keep_credentials=self._seals(match), secret=secret)
        return StoredRequest(request.method, request.target, kept, await request.read(self._max_body_bytes), subject)


def _due_in_us(rule: ActiveRule, decision: Defer) -> int:
    """When a worker should look at the flow: at once if it has its own drain rate or is paused, which workers check."""
    return 0 if rule.has_own_drain_rate or rule.paused else decision.wait_us


def _interval_us(rule: ActiveRule, results: Sequence[RuleResult]) -> int:
    """How long each job takes at the limit that refuses for longest; 0 where the rule says the same."""
    refusing = [one for one in results if one.refuses and not one.policy.limits_concurrency]
    if rule.has_own_drain_rate or not refusing:
        return 0
    longest = max(refusing, key=_wait_us)
    interval_us = math.ceil(longest.policy.emission_interval_us * cost_of(longest.match, longest.policy))
    return 0 if interval_us == rule.drain_interval_us else interval_us


def _wait_us(result: RuleResult) -> int:
    return result.wait_us


def idempotency_key(headers: Headers) -> str | None:
    """Read `Idempotency-Key`; None without one. Raises MalformedRequest.

    The key is the content of a well-formed string in quotation marks (RFC 9651), else the value as it stands.
    """
    values = [value for name, value in headers if name == b"idempotency-key"]
    if not values:
        return None
    if len(values) > 1:
        raise MalformedRequest("The request has two Idempotency-Key headers.")
    value = values[0].strip(b" \t")
    quoted = _QUOTED_KEY.fullmatch(value)
    if quoted is None and not _BARE_KEY.fullmatch(value):
        raise MalformedRequest("Idempotency-Key must be visible ASCII characters, or a string in quotation marks.")
    text = value if quoted is None else _ESCAPED.sub(rb"\1", quoted[1])
    if not 0 < len(text) <= MAX_KEY_LENGTH:
        raise MalformedRequest(f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters.")
    return text.decode("ascii")
