"""The way of a request, top to bottom: who, which rules, decide; then forward, reject or defer."""

import math
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.decision import Defer, Forward, Judged, Reject, decide
from app.edge.deferral import Deferring
from app.edge.headers import rate_limit
from app.edge.identity import Identity
from app.edge.jobs_view import JobView
from app.edge.judging import Judging
from app.edge.metrics import Metrics
from app.edge.refusal import Refusals, over_limit
from app.edge.request import ClientGone, Receive, Request, read_request
from app.errors import Forbidden, NotFound, PenstockError, QueueUnavailable, RulesUnavailable, UpstreamError
from app.headers import retry_after_s, to_upstream
from app.identity_token import IdentityTokens
from app.jobs.model import Headers
from app.problems import Reply, of_error, with_own_headers
from app.queue.model import Full, FullReason
from app.rules.cache import RuleCache
from app.rules.match import Caller, Match
from app.settings import Settings
from app.upstream import Upstream

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

OWN_PATH = "/_penstock"
OWN_PREFIX = OWN_PATH + "/"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the gateway is made of."""

    api: Asgi
    identity: Identity
    rules: RuleCache
    judging: Judging
    deferring: Deferring
    upstream: Upstream
    identity_tokens: IdentityTokens
    view: JobView
    metrics: Metrics
    settings: Settings


class Gateway:
    """A pure ASGI application in front of the one that serves `/_penstock/`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._refusals = Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        if scope["raw_path"].startswith(OWN_PREFIX.encode()):
            await self._parts.api(scope, receive, _never_cached(send))
            return
        answering = _Answering(send)
        try:
            await self._handle(scope, receive, answering)
        except ClientGone:
            self._parts.metrics.client_gone.inc()
        except PenstockError as error:
            if answering.begun:  # too late for another answer: the connection is cut, so that nobody takes it for whole
                raise
            await answering.reply(self._of_error(error))

    async def _handle(self, scope: Scope, receive: Receive, answering: "_Answering") -> None:
        request = read_request(scope, receive)
        if any(map(_is_ours, request.paths)):  # another spelling; the app servers never see one
            raise NotFound("There is nothing here.")
        caller = self._parts.identity.known(request) or await self._parts.identity.caller(request)
        matches = await self._rules(caller, request)
        job = await self._parts.deferring.known(request, caller, matches)
        if job is not None:
            await answering.reply(self._parts.view.accepted(job, scope, repeated=True))
            return
        judged = await self._parts.judging.judge(matches)
        decision = decide(judged)
        self._parts.metrics.decided(decision)
        match decision:
            case Forward():
                await self._forward(request, caller, judged, answering)
            case Reject(by):
                await answering.reply(self._refusals.of(by, judged))
            case Defer():
                await answering.reply(await self._defer(request, caller, decision, judged, scope))

    async def _rules(self, caller: Caller, request: Request) -> tuple[Match, ...]:
        try:
            matches = await self._parts.rules.applicable(caller, request.method, request.paths)
        except RulesUnavailable:
            if self._settings.rules_unavailable == "open":
                return ()
            raise
        if not matches and self._settings.no_rule == "deny":
            raise Forbidden("No rule allows this request.")
        return matches

    async def _forward(
        self, request: Request, caller: Caller, judged: Sequence[Judged], answering: "_Answering"
    ) -> None:
        body = request.body.chunks() if request.has_body else None
        headers = self._headers(request, caller)
        try:
            with (
                request.while_there(),
                await self._parts.upstream.send(request.method, request.target, headers, body) as answer,
            ):
                limits = rate_limit(judged, retry_after_s=retry_after_s(answer.headers) or math.inf)
                await answering.begin(answer.status, [*answer.headers, *limits])
                last = await answer.read()
                while not answer.over:
                    await answering.more(last)
                    last = await answer.read()
        except UpstreamError as error:
            if request.body.abandoned:  # what the app server missed was the client's to send
                raise ClientGone from error
            self._parts.metrics.upstream_errors.labels(type(error).__name__).inc()
            raise
        await answering.end(last)

    def _headers(self, request: Request, caller: Caller) -> Headers:
        trusted = self._parts.identity.trusts(request.peer)
        headers = to_upstream(request.headers, client=request.peer, scheme=request.scheme, trusted=trusted)
        if caller.issuer is not None and caller.subject is not None:
            token = self._parts.identity_tokens.token((caller.issuer, caller.subject))
            if token is not None:
                headers.append((b"penstock-identity", token))
        return headers

    async def _defer(
        self, request: Request, caller: Caller, decision: Defer, judged: Sequence[Judged], scope: Scope
    ) -> Reply:
        answer = await self._parts.deferring.defer(request, caller, decision, judged)
        if not isinstance(answer, Full):
            return self._parts.view.accepted(answer.job, scope, judged, repeated=answer.known)
        if answer.reason is FullReason.MEMORY:
            raise QueueUnavailable("The queue takes no more jobs.")
        why = {FullReason.DEPTH: "its queue is full", FullReason.WAIT: "it would wait for too long"}[answer.reason]
        return over_limit((decision.by,), judged, room_in_s=answer.retry_after_s, why=f"deferring it is no use: {why}")

    def _of_error(self, error: PenstockError) -> Reply:
        self._parts.metrics.refused(error)
        return of_error(error)


class _Answering:
    """Sends one answer, and knows whether it has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def reply(self, reply: Reply) -> None:
        await self.begin(reply.status, reply.headers)
        await self._send({"type": "http.response.body", "body": reply.body})

    async def begin(self, status: int, headers: Headers) -> None:
        self.begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def more(self, chunk: bytes) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, chunk: bytes) -> None:
        await self._send({"type": "http.response.body", "body": chunk})


def _never_cached(send: Send) -> Send:
    """Whatever the application behind says, with what all answers of ours have."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = with_own_headers(message["headers"])
        await send(message)

    return sending


def _is_ours(path: str) -> bool:
    return path == OWN_PATH or path.startswith(OWN_PREFIX)
