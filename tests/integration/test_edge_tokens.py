"""Tokens at a running edge: whatever a caller writes into one, the answer is planned."""

import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import HttpUrl
from redis.asyncio import Redis

from app.identity.issuer_keys import UNKNOWN_KID_PAUSE_S
from app.settings import Settings
from tests.support.edge_in_process import Edge, edge_running, in_force
from tests.support.waiting import eventually


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache) as running:
        yield running


def identity_key(folder: Path) -> Path:
    key, file = Ed25519PrivateKey.generate(), folder / "identity.pem"
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(key.private_bytes(*encoding))
    return file


def encoded(part: Any) -> str:  # noqa: ANN401
    return base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "header",
    [
        {"alg": ["ES256"], "kid": "k1"},
        {"alg": {"a": 1}, "kid": "k1"},
        {"alg": None},
        {"alg": "ES256", "kid": ["k1"]},
        {"alg": "ES256", "kid": "k1", "crit": ["exp"]},
        {"alg": "HS256", "kid": "k1"},
        ["ES256"],
        "ES256",
    ],
)
async def test_headers_of_any_shape_are_refused(edge: Edge, header: Any) -> None:  # noqa: ANN401
    token = f"{encoded(header)}.{encoded({'sub': 'u'})}.AAAA"
    answer = await edge.get("/", f"Authorization: Bearer {token}")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert not edge.app_server.arrived


@pytest.mark.parametrize("claims", [{"sub": "a\ud800"}, {"tier": "\udfff"}, {"nbf": "soon"}, {"exp": True}, {"sub": 5}])
async def test_claims_that_could_not_be_counted_by_are_refused(edge: Edge, claims: dict[str, Any]) -> None:
    token = edge.issuer.token(**({"subject": "u"} | {name: value for name, value in claims.items() if name != "sub"}))
    if "sub" in claims:
        token = edge.issuer.token(claims["sub"])
    assert (await edge.get("/", f"Authorization: Bearer {token}")).status == 401


async def test_an_address_that_keeps_sending_bad_tokens_waits(settings: Settings, cache: Redis) -> None:
    async with edge_running(settings, cache, bad_tokens_per_minute=3) as edge:
        known = edge.bearer("known")
        assert (await edge.get("/", known)).status == 200
        bad = [await edge.get("/", "Authorization: Bearer a.b.c") for _ in range(4)]
        assert [answer.status for answer in bad] == [401, 401, 401, 429]
        assert int(bad[-1].headers["retry-after"]) == 60
        assert (await edge.get("/", edge.bearer("new"))).status == 429, "before its signature is checked"
        assert (await edge.get("/", known)).status == 200, "what was verified is not verified again"
        assert (await edge.get("/")).status == 200, "nor is the anonymous concerned"


async def test_a_token_is_required_where_the_setting_says_so(settings: Settings, cache: Redis) -> None:
    async with edge_running(settings, cache, auth="required") as edge:
        answer = await edge.get("/")
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="penstock"')
        assert (await edge.get("/", edge.bearer("u"))).status == 200


async def test_tokens_of_others_pass_through_untouched(settings: Settings, cache: Redis, tmp_path: Path) -> None:
    """Their callers are anonymous: counted by address, without `Penstock-Identity`, and owners of nothing."""
    elsewhere = f"{encoded({'alg': 'ES256'})}.{encoded({'iss': 'elsewhere', 'sub': 'u'})}.AAAA"
    identity = {"identity": "required", "identity_key_file": identity_key(tmp_path)}
    async with edge_running(settings, cache, auth="passthrough", bad_tokens_per_minute=3, **identity) as edge:
        strangers = {"match": {"anonymous": True}, "limit": 5, "window_seconds": 3600}
        await edge.rule("strangers", key_type="ip", key_value="*", **strangers)
        await in_force(edge, "strangers", "Authorization: Bearer sk-live-1")
        for token in ("sk-live-1", elsewhere, "a.b.c", "sk-live-1"):
            answer = await edge.get("/", f"Authorization: Bearer {token}")
            assert (answer.status, answer.headers["ratelimit-policy"]) == (200, '"strangers";q=5;w=3600')
            arrived = dict(edge.app_server.arrived[-1].headers)
            assert arrived[b"authorization"] == f"Bearer {token}".encode()
            assert b"penstock-identity" not in arrived
        assert [(await edge.get("/")).status for _ in range(2)] == [200, 429], "who sends no token is the same caller"
        assert (await edge.get("/", "Authorization: Bearer sk-live-2")).status == 429
        listed = await edge.get("/_penstock/jobs", "Authorization: Bearer sk-live-1")
        assert (listed.status, listed.headers["www-authenticate"]) == (401, 'Bearer realm="penstock"')
        verified = await edge.get("/", edge.bearer("u"))
        assert verified.status == 200
        assert b"penstock-identity" in dict(edge.app_server.arrived[-1].headers)
        assert "ratelimit-policy" not in verified.headers, "a caller with a token of ours is none of the strangers"


async def test_a_bad_token_of_our_issuer_does_not_pass(settings: Settings, cache: Redis) -> None:
    forged = f"{encoded({'alg': 'ES256', 'kid': 'k1'})}.{encoded({'iss': 'test', 'sub': 'u'})}.AAAA"
    async with edge_running(settings, cache, auth="passthrough", bad_tokens_per_minute=3) as edge:
        answers = [await edge.get("/", f"Authorization: Bearer {forged}") for _ in range(4)]
        assert [answer.status for answer in answers] == [401, 401, 401, 429]
        assert answers[0].headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert (await edge.get("/", "Authorization: Bearer opaque")).status == 200
        assert len(edge.app_server.arrived) == 1


class SlowIssuer:
    """Serves the keys of another issuer in many packets, or not at all."""

    def __init__(self, keys: bytes) -> None:
        self.keys = keys
        self.away = False
        self.asked = 0

    async def jwks(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.away:
            return web.Response(status=503)
        response = web.StreamResponse()
        await response.prepare(request)
        for at in range(0, len(self.keys), 50):
            await response.write(self.keys[at : at + 50])
        return response


async def test_keys_come_in_many_packets_before_a_token_does_and_outlive_their_issuer(
    settings: Settings, cache: Redis
) -> None:
    issuer = SlowIssuer(b"")
    site = web.Application()
    site.router.add_get("/jwks.json", issuer.jwks)
    runner = web.AppRunner(site)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = HttpUrl(f"http://127.0.0.1:{runner.addresses[0][1]}/jwks.json")
    padding = [{"kty": "RSA", "use": "enc", "kid": f"p{n}", "n": "x" * 4000} for n in range(20)]

    async def asked() -> bool:
        return issuer.asked == 1

    try:
        async with edge_running(settings, cache) as lender:
            async with aiohttp.ClientSession() as http, http.get(lender.issuer.url) as response:
                own = (await response.json())["keys"]
            issuer.keys = orjson.dumps({"keys": [*padding, "no key", {"kty": ["EC"]}, *own]})
            started = time.monotonic()
            async with edge_running(settings, cache, jwks_url=url) as edge:
                await eventually(asked, 30, "the keys were asked for without a token")
                issuer.away = True
                assert (await edge.get("/", lender.bearer("u"))).status == 200
                unknown = encoded({"alg": "ES256", "kid": "another"}) + "." + encoded({"sub": "u"}) + ".AAAA"
                statuses = {(await edge.get("/", f"Authorization: Bearer {unknown}")).status for _ in range(5)}
                assert statuses == {401}
                assert issuer.asked <= 1 + (time.monotonic() - started) / UNKNOWN_KID_PAUSE_S
                assert (await edge.get("/", lender.bearer("v"))).status == 200
    finally:
        await runner.cleanup()
