"""The way of a request, from top to bottom: snapshot (who calls, which rules apply), check the limits, decide, act.

What memory knows is answered without a task: a request of a known caller to known rules that the denial cache refuses.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.decision import Defer, Forward, Reject, RuleResult, decide
from app.edge.deferral import JobSubmitter
from app.edge.job_renderer import JobRenderer
from app.edge.limit_checker import LimitCheck, LimitChecker
from app.edge.metrics import EdgeMetrics
from app.edge.rate_limit_headers import rate_limit
from app.edge.rejection import RejectionReplies, rejection
from app.edge.request import SCHEME, Request
from app.errors import Blocked, ClientGone, Forbidden, NotFound, QueueUnavailable, RulesUnavailable, UpstreamError
from app.http1.server.exchange import Application, Exchange, PendingResponse
from app.identity.authentication import Authenticator
from app.identity.caller import Caller
from app.identity.identity_token import IdentityTokens
from app.limiter.answer_cost import AnswerCost
from app.limiter.places import Places
from app.queue.model import Full, FullReason
from app.rules.cache import RuleCache
from app.rules.match import Match
from app.settings import Settings
from app.traffic.samples import TrafficSamples
from app.upstream.upstream import Upstream
from app.web.cors import CorsPolicy, is_preflight
from app.web.headers import Headers, to_upstream
from app.web.paths import OWN_PATH, is_own
from app.web.problems import Reply
from app.web.retry_after import retry_after_s

_OWN_PREFIX = f"{OWN_PATH}/".encode()
NOBODY = Caller(None, None, {}, "")
"""Who sends a preflight: the browser, without the caller's token."""
_WHY_FULL = {
    FullReason.DEPTH: "its queue is full",
    FullReason.BYTES: "its queue holds too many bytes",
    FullReason.WAIT: "it would wait for too long",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayParts:
    """What the gateway is made of. `api` serves `/_penstock/`. Construct it with keyword arguments."""

    api: Application
    cors: CorsPolicy
    authenticator: Authenticator
    rules: RuleCache
    limit_checker: LimitChecker
    traffic: TrafficSamples
    places: Places
    job_submitter: JobSubmitter
    upstream: Upstream
    identity_tokens: IdentityTokens
    job_renderer: JobRenderer
    metrics: EdgeMetrics
    settings: Settings


class _Interim:
    """Passes interim answers on without the headers that state a cost."""

    def __init__(self, request: Request, cost: AnswerCost) -> None:
        self._request = request
        self._cost = cost

    def inform(self, status: int, headers: Headers) -> None:
        self._request.inform(status, self._cost.visible(headers))


class Gateway:
    """The data plane as an application of the HTTP server, which turns a PenstockError into the response."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._authenticator = parts.authenticator
        self._rules = parts.rules
        self._limits = parts.limit_checker
        self._metrics = parts.metrics
        self._traffic = parts.traffic
        self._settings = parts.settings
        self._rejections = RejectionReplies(parts.metrics.by_rule)

    def __call__(self, exchange: Exchange) -> PendingResponse | None:
        """Handle one request: answer it now and return None, or return what the server must wait for."""
        head = exchange.head
        if head.path.startswith(_OWN_PREFIX):
            if is_preflight(head.method, head.headers):
                exchange.reply(self._parts.cors.preflight_reply(head.headers))
                return None
            return self._parts.api(exchange)
        request = Request(exchange)
        for path in request.paths:
            if path.startswith(OWN_PATH) and is_own(path):  # spelled otherwise; app servers never get these paths
                raise NotFound("There is nothing here.")
        if is_preflight(head.method, head.headers) and not head.has_body:
            return self._forward(request, NOBODY, ())
        caller = self._authenticator.cached_caller(request)
        if caller is None:
            return self._handle_uncached(request)
        matches = self._rules.cached_applicable(caller, request.method, request.paths, request.headers)
        if matches is None:
            return self._handle_uncached(request)
        return self._apply_rules(request, caller, matches)

    async def _handle_uncached(self, request: Request) -> None:
        """Verify the token or read the rules, whichever memory does not have; then go on in the same way."""
        caller = await self._authenticator.authenticate(request)
        try:
            matches = await self._rules.applicable(caller, request.method, request.paths, request.headers)
        except RulesUnavailable as error:
            if self._settings.rules_unavailable != "open":
                raise
            self._metrics.decided_without(error)
            await self._forward(request, caller, ())
            return
        pending = self._apply_rules(request, caller, matches)
        if pending is not None:
            await pending

    def _apply_rules(self, request: Request, caller: Caller, matches: tuple[Match, ...]) -> PendingResponse | None:
        check = self._limits.check(matches, request.headers)
        self._traffic.add(check.callers, request.method, request.paths)
        if not check.enforced and self._settings.no_rule == "deny":
            raise Forbidden("No rule allows this request.")
        if check.blocking and (rule := self._limits.blocking_rule(check)) is not None:
            self._metrics.by_rule.of(rule.rule_id).block += 1
            raise Blocked(f"The rule {rule.rule_id} blocks this request.")
        denial = self._limits.cached_denial(check)
        if denial is None:
            return self._decide(request, caller, check)
        self._metrics.rejected += 1
        request.exchange.reply(self._rejections.of(denial))
        return None

    async def _decide(self, request: Request, caller: Caller, check: LimitCheck) -> None:
        """Check the limits at the counters, decide, and act on the decision."""
        exchange = request.exchange
        if check.defers:
            job = await self._parts.job_submitter.find_existing(request, caller, check.matches)
            if job is not None:
                exchange.reply(self._parts.job_renderer.accepted(job, request.scope, repeated=True))
                return
        place = self._parts.places.new_name() if check.place_counters else ""
        results = await self._limits.evaluate(check, place)
        decision = decide(results, asynchronous=check.always_defers)
        match decision:
            case Forward():
                for decisions in check.decisions:
                    decisions.forward += 1
                cost = self._limits.answer_cost(check, results)
                if place:
                    await self._forward_in_place(request, caller, results, cost, check.place_counters, f"{place}1")
                else:
                    await self._forward(request, caller, results, cost)
            case Reject(by):
                self._metrics.rejected += 1
                self._metrics.by_rule.rejected(by)
                exchange.reply(rejection(by, results))
            case Defer():
                self._metrics.deferred += 1
                self._metrics.by_rule.of(decision.by.match.rule.rule_id).defer += 1
                exchange.reply(await self._defer(request, caller, decision, results))

    async def _forward_in_place(
        self,
        request: Request,
        caller: Caller,
        results: Sequence[RuleResult],
        cost: AnswerCost | None,
        counters: Sequence[str],
        place: str,
    ) -> None:
        """Forward a request that has a place among those in flight, until its answer has ended."""
        self._parts.places.hold(counters, place)
        try:
            await self._forward(request, caller, results, cost)
        finally:
            self._parts.places.give_back(counters, place)

    async def _forward(
        self, request: Request, caller: Caller, results: Sequence[RuleResult], cost: AnswerCost | None = None
    ) -> None:
        self._metrics.forwarded += 1
        exchange, upstream = request.exchange, self._parts.upstream
        exchange.cancel_on_disconnect = True
        try:
            with await upstream.send(
                request.method,
                request.target,
                self._headers(request, caller),
                request.body(),
                on_interim=request.inform if cost is None else _Interim(request, cost).inform,
            ) as answer:
                headers = answer.headers if cost is None else cost.begin(answer.headers)
                try:
                    limits = rate_limit(results, retry_after_s=retry_after_s(headers) or math.inf)
                    exchange.start_response(answer.status, headers + limits)
                    chunk = answer.read_nowait()
                    while not answer.complete:
                        exchange.write(chunk)
                        await exchange.drain()
                        chunk = await answer.read()
                finally:  # also if the client has gone: the app server has done its work
                    if cost is not None:
                        cost.end(answer.trailers)
        except UpstreamError as error:
            if request.abandoned:  # the app server failed because the client did not send all of its body
                raise ClientGone from error
            self._metrics.upstream_errors.labels(type(error).__name__).inc()
            raise
        finally:
            exchange.cancel_on_disconnect = False
        exchange.finish(chunk)

    def _headers(self, request: Request, caller: Caller) -> Headers:
        trusted = self._authenticator.trusts(request.peer)
        client_ip = self._authenticator.client_ip(request)
        headers = to_upstream(request.headers, client=request.peer, client_ip=client_ip, scheme=SCHEME, trusted=trusted)
        if caller.subject is not None and caller.issuer is not None:
            token = self._parts.identity_tokens.token((caller.issuer, caller.subject))
            if token is not None:
                headers.append((b"penstock-identity", token))
        return headers

    async def _defer(self, request: Request, caller: Caller, decision: Defer, results: Sequence[RuleResult]) -> Reply:
        answer = await self._parts.job_submitter.submit(request, caller, decision, results)
        if not isinstance(answer, Full):
            return self._parts.job_renderer.accepted(answer.job, request.scope, results, repeated=answer.known)
        if answer.reason is FullReason.MEMORY:
            raise QueueUnavailable("The queue takes no more jobs.", "full")
        why = f"deferring it is no use: {_WHY_FULL[answer.reason]}"
        return rejection((decision.by,), results, room_in_s=answer.retry_after_s, why=why)
