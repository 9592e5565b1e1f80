"""The way of a request, top to bottom: who, which rules, decide; then forward, reject or defer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.decision import Defer, Forward, Reject, RuleResult, decide
from app.edge.deferral import Deferring
from app.edge.job_view import JobView
from app.edge.limit_checker import LimitCheck, LimitChecker
from app.edge.metrics import EdgeMetrics
from app.edge.rate_limit_headers import rate_limit
from app.edge.refusal import Refusals, over_limit
from app.edge.request import SCHEME, Request
from app.errors import ClientGone, Forbidden, NotFound, QueueUnavailable, RulesUnavailable, UpstreamError
from app.http1.server.exchange import Application, Exchange, PendingResponse
from app.identity.authentication import Authenticator
from app.identity.caller import Caller
from app.identity.identity_token import IdentityTokens
from app.queue.model import Full, FullReason
from app.rules.cache import RuleCache
from app.rules.match import Match
from app.settings import Settings
from app.upstream.upstream import Upstream
from app.web.headers import Headers, to_upstream
from app.web.problems import Reply
from app.web.retry_after import retry_after_s

OWN_PATH = "/_penstock"
OWN_PREFIX = OWN_PATH + "/"
_OWN_PREFIX = OWN_PREFIX.encode()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the gateway is made of. `api` serves `/_penstock/`."""

    api: Application
    identity: Authenticator
    rules: RuleCache
    limit_checker: LimitChecker
    deferring: Deferring
    upstream: Upstream
    identity_tokens: IdentityTokens
    view: JobView
    metrics: EdgeMetrics
    settings: Settings


class Gateway:
    """An application of our server. All of it raises PenstockError, which becomes the answer."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._identity = parts.identity
        self._rules = parts.rules
        self._judging = parts.limit_checker
        self._metrics = parts.metrics
        self._settings = parts.settings
        self._refusals = Refusals()

    def __call__(self, exchange: Exchange) -> PendingResponse | None:
        """One request: answered at once where memory knows how; else what there is to wait for."""
        if exchange.head.path.startswith(_OWN_PREFIX):
            return self._parts.api(exchange)
        request = Request(exchange)
        for path in request.paths:
            if path.startswith(OWN_PATH) and _is_ours(path):  # another spelling; the app servers never see one
                raise NotFound("There is nothing here.")
        caller = self._identity.known(request)
        if caller is None:
            return self._look_up(request)
        matches = self._rules.known_to_apply(caller, request.method, request.paths)
        return self._look_up(request) if matches is None else self._judge(request, caller, matches)

    async def _look_up(self, request: Request) -> None:
        """The same for whom memory does not know: the token is verified, the rules are read."""
        caller = await self._identity.caller(request)
        try:
            matches = await self._rules.applicable(caller, request.method, request.paths)
        except RulesUnavailable:
            if self._settings.rules_unavailable != "open":
                raise
            await self._forward(request, caller, ())
            return
        answering = self._judge(request, caller, matches)
        if answering is not None:
            await answering

    def _judge(self, request: Request, caller: Caller, matches: tuple[Match, ...]) -> PendingResponse | None:
        if not matches and self._settings.no_rule == "deny":
            raise Forbidden("No rule allows this request.")
        check = self._judging.check(matches)
        denial = self._judging.cached_denial(check)
        if denial is None:
            return self._ask(request, caller, check)
        self._metrics.rejected += 1
        request.exchange.reply(self._refusals.of(denial))
        return None

    async def _ask(self, request: Request, caller: Caller, check: LimitCheck) -> None:
        """Decide by what the counters say, and do it."""
        exchange = request.exchange
        if check.defers:
            job = await self._parts.deferring.known(request, caller, check.matches)
            if job is not None:
                exchange.reply(self._parts.view.accepted(job, request.scope, repeated=True))
                return
        results = await self._judging.evaluate(check)
        decision = decide(results)
        match decision:
            case Forward():
                await self._forward(request, caller, results)
            case Reject(by):
                self._metrics.rejected += 1
                exchange.reply(over_limit(by, results))
            case Defer():
                self._metrics.deferred += 1
                exchange.reply(await self._defer(request, caller, decision, results))

    async def _forward(self, request: Request, caller: Caller, results: Sequence[RuleResult]) -> None:
        self._metrics.forwarded += 1
        exchange, upstream = request.exchange, self._parts.upstream
        exchange.cancel_on_disconnect = True
        try:
            with await upstream.send(
                request.method, request.target, self._headers(request, caller), request.body()
            ) as answer:
                limits = rate_limit(results, retry_after_s=retry_after_s(answer.headers) or math.inf)
                exchange.start_response(answer.status, answer.headers + limits)
                chunk = answer.read_nowait()
                while not answer.complete:
                    exchange.write(chunk)
                    await exchange.drain()
                    chunk = await answer.read()
        except UpstreamError as error:
            if request.abandoned:  # what the app server missed was the client's to send
                raise ClientGone from error
            self._metrics.upstream_errors.labels(type(error).__name__).inc()
            raise
        finally:
            exchange.cancel_on_disconnect = False
        exchange.finish(chunk)

    def _headers(self, request: Request, caller: Caller) -> Headers:
        trusted = self._identity.trusts(request.peer)
        headers = to_upstream(request.headers, client=request.peer, scheme=SCHEME, trusted=trusted)
        if caller.subject is not None and caller.issuer is not None:
            token = self._parts.identity_tokens.token((caller.issuer, caller.subject))
            if token is not None:
                headers.append((b"penstock-identity", token))
        return headers

    async def _defer(self, request: Request, caller: Caller, decision: Defer, results: Sequence[RuleResult]) -> Reply:
        answer = await self._parts.deferring.defer(request, caller, decision, results)
        if not isinstance(answer, Full):
            return self._parts.view.accepted(answer.job, request.scope, results, repeated=answer.known)
        if answer.reason is FullReason.MEMORY:
            raise QueueUnavailable("The queue takes no more jobs.")
        why = {FullReason.DEPTH: "its queue is full", FullReason.WAIT: "it would wait for too long"}[answer.reason]
        return over_limit((decision.by,), results, room_in_s=answer.retry_after_s, why=f"deferring it is no use: {why}")


def _is_ours(path: str) -> bool:
    return path == OWN_PATH or path.startswith(OWN_PREFIX)
