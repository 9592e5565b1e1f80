"""Deferral: turns a request into a job, which is stored durably before the request is answered."""

import re
from collections.abc import Sequence
from contextlib import suppress

from app.decision import Defer, RuleResult, backlog_markers_of, frozen_charges
from app.edge.request import SCHEME, Request
from app.errors import BodyTooLarge, CountersUnavailable, InvalidInput, MalformedRequest, QueueUnavailable
from app.identity.authentication import Authenticator
from app.identity.caller import Caller
from app.jobs.model import Job, StoredRequest, owner_of
from app.limiter.limiter import Limiter
from app.queue.disk import Disk
from app.queue.job_queue import JobQueue
from app.queue.model import Deferral, Enqueued, Full
from app.rules.active import ActiveRule
from app.rules.match import Match
from app.settings import Settings
from app.web.headers import Headers, to_store, to_upstream

MAX_KEY_LENGTH = 255
_KEY = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\])*)"|([!#$%&\'*+.^_`|~:/0-9A-Za-z-]+)')  # RFC 9651, 3.3.3 and 3.3.4
_ESCAPED = re.compile(rb'\\(["\\])')


class JobSubmitter:
    """Submits requests as jobs to their flows, and finds the jobs of repeated requests."""

    def __init__(
        self, queue: JobQueue, disk: Disk, limiter: Limiter, authenticator: Authenticator, settings: Settings
    ) -> None:
        self._queue = queue
        self._disk = disk
        self._limiter = limiter
        self._authenticator = authenticator
        self._has_key = bool(settings.envelope_keys)
        self._max_body_bytes = settings.max_deferred_body_bytes

    async def find_existing(self, request: Request, caller: Caller, matches: Sequence[Match]) -> Job | None:
        """Find the job that was made with the request's idempotency key; None without a key or a rule that defers.

        Raises MalformedRequest, InvalidInput for an anonymous caller, IdempotencyConflict, QueueUnavailable.
        """
        deferring = [match for match in matches if match.rule.defers]
        if not deferring:
            return None
        key = idempotency_key(request.headers)
        if key is None:
            return None
        owner = owner_of(caller.issuer, caller.subject)
        if not owner:
            raise InvalidInput("An idempotency key needs a token: without one, nobody owns the job.")
        flows = [(match.rule.rule_id, match.descriptor) for match in deferring]
        try:
            stored = await self._stored(request, caller, deferring[0])
        except BodyTooLarge:  # it cannot have been deferred, so the key can only belong to another request
            stored = None
        return await self._queue.find_by_idempotency_key(flows, owner, key, stored)

    async def submit(
        self, request: Request, caller: Caller, decision: Defer, results: Sequence[RuleResult]
    ) -> Enqueued | Full:
        """Enqueue the request under the rule that defers it, and set the backlog marker if its flow was empty.

        Raises BodyTooLarge, IdempotencyConflict, QueueUnavailable.
        """
        if not self._disk.has_room:
            raise QueueUnavailable("The queue's disk is nearly full.", "disk_full")
        match, matches = decision.by.match, [one.match for one in results]
        rule = match.rule
        answer = await self._queue.enqueue(
            Deferral(
                rule=rule,
                charges=frozen_charges(match, matches),
                owner=owner_of(caller.issuer, caller.subject),
                request=await self._stored(request, caller, match),
                caller=match.caller,
                idempotency_key=idempotency_key(request.headers),
                seal=self._seals(match),
                due_in_us=_due_in_us(match.rule, decision),
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
        kept = to_store(headers, match.rule.queue.drop_headers, keep_credentials=self._seals(match))
        return StoredRequest(request.method, request.target, kept, await request.read(self._max_body_bytes), subject)


def _due_in_us(rule: ActiveRule, decision: Defer) -> int:
    """When a worker should look at the flow: at once if it has its own drain rate or is paused, which workers check."""
    return 0 if rule.has_own_drain_rate or rule.paused else decision.wait_us


def idempotency_key(headers: Headers) -> str | None:
    """Read `Idempotency-Key`, a string or a token of structured fields; None without one. Raises MalformedRequest."""
    values = [value for name, value in headers if name == b"idempotency-key"]
    if not values:
        return None
    found = _KEY.fullmatch(values[0].strip()) if len(values) == 1 else None
    if found is None:
        raise MalformedRequest("Idempotency-Key must be one string or one token.")
    text = found[2] or _ESCAPED.sub(rb"\1", found[1] or b"")
    if not 0 < len(text) <= MAX_KEY_LENGTH:
        raise MalformedRequest(f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters.")
    return text.decode("ascii")
