"""Signing in to the dashboard: tickets work once, codes of the issuer become tokens, and failures are typed."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from redis.asyncio import Redis

from app.admin.dashboard.tickets import MAX_TICKETS_A_MINUTE
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.admin_in_process import Admin, admin_running
from tests.support.issuer import Issuer
from tests.support.oidc_issuer import CONFIGURATION, OidcIssuer

VERIFIER = "v" * 64
CALLBACK = "http://admin/sign-in/callback"
PROBLEM = "application/problem+json"

Run = Callable[..., AbstractAsyncContextManager[Admin]]


@pytest.fixture
def run(settings: Settings, cache: Redis, queue: Redis, counting: Scripts, queueing: Scripts) -> Run:
    def running(**changed: Any) -> AbstractAsyncContextManager[Admin]:  # noqa: ANN401
        return admin_running(settings.mongodb_url, cache, queue, counting, queueing, **changed)

    return running


class Oidc:
    """An admin API and its issuer."""

    def __init__(self, run: Run, stack: AsyncExitStack) -> None:
        self._run, self._stack = run, stack
        self.signer = Issuer()
        self.issuer = OidcIssuer(self.signer)
        stack.callback(self.issuer.close)

    async def admin(self, **changed: Any) -> Admin:  # noqa: ANN401
        """The admin API, which knows the keys of the issuer."""
        running = self._run(issuer=self.signer, **self.issuer.settings(), **changed)
        return await self._stack.enter_async_context(running)

    async def code(self, redirect_uri: str = CALLBACK) -> str:
        """What the operator's browser gets from the issuer."""
        digest = hashlib.sha256(VERIFIER.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self.issuer.client_id,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "redirect_uri": redirect_uri,
            "state": "s",
        }
        async with httpx.AsyncClient() as browser:
            answer = await browser.get(f"{self.issuer.url}/authorize?{urlencode(query)}")
        return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]


@pytest.fixture
async def oidc(run: Run) -> AsyncIterator[Oidc]:
    async with AsyncExitStack() as stack:
        yield Oidc(run, stack)


async def post(admin: Admin, way: str, body: object, **headers: Any) -> httpx.Response:  # noqa: ANN401
    return await admin("POST", f"/v1/sign-in/{way}", body, role=None, **headers)


async def redeemed(admin: Admin, code: str, redirect_uri: str = CALLBACK, **headers: str) -> httpx.Response:
    body = {"code": code, "code_verifier": VERIFIER, "redirect_uri": redirect_uri}
    return await post(admin, "oidc", body, **headers)


async def test_an_operator_is_told_who_they_are(admin: Admin) -> None:
    answer = await admin("GET", "/v1/operator", role="operator")
    assert answer.status_code == 200
    assert answer.json() | {"expires_at": ""} == {"name": "ops", "role": "operator", "expires_at": ""}
    assert answer.json()["expires_at"].endswith("Z")


async def test_a_ticket_gives_the_token_once(admin: Admin, cache: Redis) -> None:
    token = admin.token("viewer")
    made = await admin("POST", "/v1/sign-in/tickets", role=None, Authorization=f"Bearer {token}")
    assert made.status_code == 201
    ticket = made.json()["ticket"]
    assert len(base64.urlsafe_b64decode(ticket + "=")) * 8 >= 128
    for name in await cache.keys("sign-in:*"):
        assert 0 < await cache.ttl(name) <= 60
        stored = await cache.get(name)
        assert isinstance(stored, bytes)
        assert ticket.encode() not in stored, "whoever reads the store cannot sign in"
        assert token.encode() not in stored
        assert token.split(".")[1].encode() not in stored
    answers = await asyncio.gather(*(post(admin, "ticket", {"ticket": ticket}) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]
    [session] = [answer.json() for answer in answers if answer.status_code == 200]
    assert session["token"] == token
    refused = next(answer for answer in answers if answer.status_code == 401)
    assert refused.headers["Content-Type"] == PROBLEM
    assert (await admin("GET", "/v1/operator", role=None, Authorization=f"Bearer {token}")).json()[
        "expires_at"
    ] == session["expires_at"]


async def test_a_ticket_whose_minute_is_over_or_that_was_never_made_is_refused(admin: Admin, cache: Redis) -> None:
    ticket = (await admin("POST", "/v1/sign-in/tickets")).json()["ticket"]
    [name] = await cache.keys("sign-in:ticket:*")
    await cache.pexpire(name, 1)
    await asyncio.sleep(0.01)
    assert (await post(admin, "ticket", {"ticket": ticket})).status_code == 401
    assert (await post(admin, "ticket", {"ticket": "x"})).status_code == 401
    bodies: list[object] = [{}, {"ticket": ""}, {"ticket": 1}, {"ticket": "x" * 129}, {"ticket": "x", "more": 1}, []]
    for body in bodies:
        assert (await post(admin, "ticket", body)).status_code == 422


async def test_what_is_stored_under_a_tickets_name_by_others_lets_nobody_in(admin: Admin, cache: Redis) -> None:
    for stored in (b"", b"short", b"x" * 200):
        await cache.set(f"sign-in:ticket:{hashlib.sha256(b't').hexdigest()}", stored)
        assert (await post(admin, "ticket", {"ticket": "t"})).status_code == 401


async def test_tickets_of_an_operator_and_attempts_of_an_address_are_bounded(run: Run) -> None:
    async with run(bad_tokens_per_minute=3) as admin:
        made = [await admin("POST", "/v1/sign-in/tickets", role="viewer") for _ in range(MAX_TICKETS_A_MINUTE + 1)]
        assert [answer.status_code for answer in made] == [201] * MAX_TICKETS_A_MINUTE + [429]
        assert int(made[-1].headers["Retry-After"]) > 0
        tried = [await post(admin, "ticket", {"ticket": "guess"}) for _ in range(4)]
        assert [answer.status_code for answer in tried] == [401, 401, 401, 429]
        assert (await post(admin, "ticket", {"ticket": made[0].json()["ticket"]})).status_code == 429


async def test_tickets_are_unavailable_while_the_cache_is_away(admin: Admin) -> None:
    await admin.parts.sign_in._tickets._cache.aclose()
    away = Redis(host="127.0.0.1", port=1)
    admin.parts.sign_in._tickets._cache = away
    for answer in (
        await admin("POST", "/v1/sign-in/tickets"),
        await post(admin, "ticket", {"ticket": "t"}),
    ):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "cache Redis" in answer.json()["detail"]


async def test_without_an_issuer_there_is_no_sign_in_by_it(admin: Admin) -> None:
    answer = await admin("GET", "/v1/sign-in", role=None)
    assert (answer.status_code, answer.json()) == (200, {"oidc": None})
    assert (await redeemed(admin, "c")).status_code == 404


async def test_a_code_becomes_a_token_of_an_operator(oidc: Oidc) -> None:
    admin = await oidc.admin()
    for _ in range(3):
        answer = await admin("GET", "/v1/sign-in", role=None)
        assert answer.json() == {
            "oidc": {
                "authorization_endpoint": f"{oidc.issuer.url}/authorize",
                "client_id": "dashboard",
                "scope": "openid",
                "issuer": oidc.issuer.url,
            }
        }
    code = await oidc.code()
    session = await redeemed(admin, code, Origin="http://admin")
    assert session.status_code == 200, session.text
    who = await admin("GET", "/v1/operator", role=None, Authorization=f"Bearer {session.json()['token']}")
    assert who.json() == {"name": "olga", "role": "operator", "expires_at": session.json()["expires_at"]}
    assert oidc.issuer.asked == [CONFIGURATION, "/authorize", "/token"], "the configuration is fetched once"
    again = await redeemed(admin, code)
    assert (again.status_code, again.headers["Content-Type"]) == (401, PROBLEM)
    assert "<b>" not in again.text, "nothing of the issuer's own texts"


@pytest.mark.parametrize("methods", [None, ["client_secret_post"], ["client_secret_basic", "client_secret_post"]])
async def test_a_confidential_client_proves_who_it_is(oidc: Oidc, tmp_path: Path, methods: list[str] | None) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    oidc.issuer.secret = "s3cret"
    oidc.issuer.changed = {"token_endpoint_auth_methods_supported": methods} if methods else {}
    admin = await oidc.admin(admin_oidc_client_secret_file=str(file))
    assert (await redeemed(admin, await oidc.code())).status_code == 200
    oidc.issuer.secret = "another"
    refused = await redeemed(admin, await oidc.code())
    assert refused.status_code == 502
    assert "invalid_client" in refused.json()["detail"]


async def test_an_id_token_signs_in_where_the_access_token_does_not(oidc: Oidc) -> None:
    oidc.issuer.access_claims = {}
    admin = await oidc.admin(admin_audience="dashboard", admin_role_claim="sub")
    oidc.issuer.subject = "viewer"  # a claim that both tokens have
    session = await redeemed(admin, await oidc.code())
    assert session.status_code == 200, session.text


async def test_an_operator_without_a_role_is_told_so(oidc: Oidc) -> None:
    oidc.issuer.access_claims = {"aud": "penstock-admin"}
    answer = await redeemed(await oidc.admin(), await oidc.code())
    assert answer.status_code == 403
    assert "penstock_role" in answer.json()["detail"]


async def test_another_verifier_or_address_than_the_codes_is_refused(oidc: Oidc) -> None:
    admin = await oidc.admin()
    body = {"code": await oidc.code(), "code_verifier": "w" * 64, "redirect_uri": CALLBACK}
    assert (await post(admin, "oidc", body)).status_code == 401
    body = {"code": await oidc.code("https://admin/sign-in/callback"), "code_verifier": VERIFIER}
    assert (await post(admin, "oidc", body | {"redirect_uri": CALLBACK})).status_code == 401


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://evil.example/sign-in/callback",
        "http://admin.evil.example/sign-in/callback",
        "http://admin@evil.example/sign-in/callback",
        "http://admin:1/sign-in/callback",
        "http://admin/sign-in/callback?x",
        "http://admin/penstock/sign-in/callback",
        "//admin/sign-in/callback",
        "javascript:alert(1)",
    ],
)
async def test_the_redirect_address_must_be_the_dashboards_own(oidc: Oidc, redirect_uri: str) -> None:
    admin = await oidc.admin()
    answer = await redeemed(admin, "c", redirect_uri)
    assert (answer.status_code, "redirect_uri" in answer.json()["detail"]) == (400, True)
    assert "/token" not in oidc.issuer.asked


async def test_behind_a_proxy_the_own_address_is_what_the_client_sees(oidc: Oidc) -> None:
    seen = "https://ops.example/penstock/sign-in/callback"
    forwarded = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "ops.example"}
    untrusting = await oidc.admin(admin_base_path="/penstock")
    assert (await redeemed(untrusting, await oidc.code(seen), seen, **forwarded)).status_code == 400
    ends_tls = "https://admin/penstock/sign-in/callback"
    answer = await redeemed(untrusting, await oidc.code(ends_tls), ends_tls, Origin="https://admin")
    assert answer.status_code == 200, answer.text
    trusting = await oidc.admin(admin_base_path="/penstock", trusted_proxies="127.0.0.1/32")
    answer = await redeemed(trusting, await oidc.code(seen), seen, Origin="https://ops.example", **forwarded)
    assert answer.status_code == 200, answer.text


async def test_a_page_of_another_origin_cannot_sign_in(oidc: Oidc) -> None:
    admin = await oidc.admin()
    for origin in ("https://evil.example", "null", "http://admin.evil.example"):
        assert (await redeemed(admin, await oidc.code(), Origin=origin)).status_code == 400


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((500, b"<html>stack trace</html>"), 503),
        ((429, b"{}"), 503),
        ((200, b"<html>stack trace</html>"), 502),
        ((200, b'{"access_token": 1}'), 502),
        ((200, b'{"access_token": "a.b.c"}'), 401),
        ((200, b" " * (1 << 21)), 502),
        ((302, b"stack trace"), 502),
        ((400, b'{"error": "invalid_client"}'), 502),
        ((400, b'{"error": "<script>stack trace</script>"}'), 502),
        ((400, b'{"error": ["stack trace"]}'), 502),
    ],
)
async def test_whatever_the_token_endpoint_answers_the_failure_is_typed(
    oidc: Oidc, answer: tuple[int, bytes], status: int
) -> None:
    admin = await oidc.admin()
    oidc.issuer.token_answer = answer
    refused = await redeemed(admin, await oidc.code())
    assert (refused.status_code, refused.headers["Content-Type"]) == (status, PROBLEM)
    assert "stack trace" not in refused.text
    assert "script" not in refused.text


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://another.example"},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "ftp://issuer.example/token"},
        {"token_endpoint": "http:///token"},
        {"token_endpoint": "https://issuer.example/#x"},
    ],
    ids=str,
)
async def test_a_configuration_that_is_not_usable_is_said_so(oidc: Oidc, changed: dict[str, Any]) -> None:
    oidc.issuer.changed = changed
    admin = await oidc.admin()
    answer = await admin("GET", "/v1/sign-in", role=None)
    assert answer.status_code == 502
    assert re.search("issuer|endpoint", answer.json()["detail"])
    assert (await redeemed(admin, "c")).status_code == 502


async def test_an_issuer_that_is_away_is_asked_at_most_once_a_second(oidc: Oidc) -> None:
    admin = await oidc.admin()
    provider = admin.parts.sign_in._oidc
    assert provider is not None
    now_s = 0.0
    provider._clock = lambda: now_s
    url, oidc.issuer.url = oidc.issuer.url, "http://another"
    answers = await asyncio.gather(*(admin("GET", "/v1/sign-in", role=None) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {502}
    assert oidc.issuer.asked == [CONFIGURATION]
    oidc.issuer.url = url
    now_s += 1
    assert (await admin("GET", "/v1/sign-in", role=None)).status_code == 200
    now_s += 3600
    oidc.issuer.close()
    assert (await admin("GET", "/v1/sign-in", role=None)).status_code == 200, "what was known before stays"
    refused = await redeemed(admin, "c")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")


async def test_an_issuer_that_cannot_be_reached_is_unavailable(oidc: Oidc) -> None:
    oidc.issuer.close()
    answer = await (await oidc.admin())("GET", "/v1/sign-in", role=None)
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, PROBLEM)


async def test_codes_that_are_refused_are_bounded_by_address(oidc: Oidc) -> None:
    admin = await oidc.admin(bad_tokens_per_minute=2)
    answers = [await redeemed(admin, "guess") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert oidc.issuer.asked.count("/token") == 2
