"""Who asks, and what app servers are told of it, at a running edge: keys that rotate, proxies, headers, our token."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import HttpUrl
from redis.asyncio import Redis

import app.identity.issuer_keys
from app.http1.server.asgi import as_application
from app.http1.server.connection import connection_factory
from app.http1.server.context import ServerContext
from app.http1.server.limits import ServerLimits
from app.settings import Settings
from scripts import demo_app
from tests.support.edge_in_process import Edge, edge_running, in_force
from tests.support.forgery import ISSUER, Keyring, KeySite, key_site
from tests.support.waiting import eventually

INVALID = 'Bearer error="invalid_token"'


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache) as running:
        yield running


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


def only(true: Keyring, *kids: str) -> bytes:
    return orjson.dumps({"keys": [key for key in true.jwks()["keys"] if key["kid"] in kids]})


def of_issuer(site: KeySite, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"jwks_url": HttpUrl(f"{site.url}/jwks"), "jwt_issuer": ISSUER, "bad_tokens_per_minute": 1_000_000} | more


# The issuer's keys


async def test_a_rotation_and_an_outage_of_the_issuer(
    settings: Settings, cache: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.identity.issuer_keys, "UNKNOWN_KID_PAUSE_S", 0.0)
    true = Keyring()
    old, new = true.token(kid="ec"), true.token(kid="ed")
    async with key_site(only(true, "ec")) as site, edge_running(settings, cache, **of_issuer(site)) as edge:
        for _ in range(3):  # the third is remembered for certain
            assert (await edge.get("/", bearer(old))).status == 200
        site.body = only(true, "ec", "ed")
        assert (await edge.get("/", bearer(new))).status == 200, "the new key at once"
        assert (await edge.get("/", bearer(old))).status == 200
        site.status = 503
        assert (await edge.get("/", bearer(true.token(kid="rsa")))).status == 401
        assert [(await edge.get("/", bearer(token))).status for token in (old, new)] == [200, 200], "kept"
        site.status, site.body = 200, only(true, "ed", "rsa")
        assert (await edge.get("/", bearer(true.token(kid="rsa")))).status == 200
        answer = await edge.get("/", bearer(old))
        assert (answer.status, answer.headers["www-authenticate"]) == (401, INVALID), "though it was remembered"
        assert (await edge.get("/", bearer(new))).status == 200


async def test_a_withdrawn_key_is_refused_without_any_new_one(
    settings: Settings, cache: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.identity.issuer_keys, "UNKNOWN_KID_PAUSE_S", 0.05)
    true = Keyring()
    token = true.token(kid="ec")
    changed = {"jwks_refresh_s": 0.1}
    async with (
        key_site(only(true, "ec", "ed")) as site,
        edge_running(settings, cache, **of_issuer(site, **changed)) as edge,
    ):
        assert (await edge.get("/", bearer(token))).status == 200
        site.body = only(true, "ed")

        async def refused() -> bool:
            return (await edge.get("/", bearer(token))).status == 401

        await eventually(refused, 30, "the tokens of the withdrawn key are refused")
        assert (await edge.get("/", bearer(true.token(kid="ed")))).status == 200


async def test_a_flood_of_unknown_keys_while_the_issuer_hangs_hurts_nobody(
    settings: Settings, cache: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = Keyring()
    async with key_site(orjson.dumps(true.jwks())) as site, edge_running(settings, cache, **of_issuer(site)) as edge:
        remembered = true.token("remembered")
        assert (await edge.get("/", bearer(remembered))).status == 200
        monkeypatch.setattr(app.identity.issuer_keys, "UNKNOWN_KID_PAUSE_S", 1.0)
        await asyncio.sleep(1)
        asked_before, started = len(site.asked), time.monotonic()
        site.hangs.clear()
        flood = [
            asyncio.create_task(
                edge.get("/", bearer(true.written({"alg": "ES256", "kid": f"unknown-{n}"}, true.claims())))
            )
            for n in range(300)
        ]

        async def asked() -> bool:
            return len(site.asked) > asked_before

        await eventually(asked, 30, "the issuer was asked, and hangs")
        answered = [(await edge.get("/", bearer(token))).status for token in (remembered, true.token("another"))]
        assert answered == [200, 200]
        assert {answer.status for answer in await asyncio.gather(*flood)} == {401}
        elapsed = time.monotonic() - started
        assert 1 <= len(site.asked) - asked_before <= 1 + elapsed / 1.0
        site.hangs.set()
        assert len(edge.app_server.arrived) == 3


async def test_before_any_key_is_known_a_token_is_not_bad_but_the_answer_is_not_there(
    settings: Settings, cache: Redis
) -> None:
    true = Keyring()
    async with key_site(b"{}") as site, edge_running(settings, cache, **of_issuer(site)) as edge:
        answer = await edge.get("/", bearer(true.token()))
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert (await edge.get("/")).status == 200, "the anonymous need no key"
        site.body = orjson.dumps(true.jwks())

        async def known() -> bool:
            return (await edge.get("/", bearer(true.token()))).status == 200

        await eventually(known, 30, "the issuer is back")


# Proxies

TRUSTED = {"trusted_proxies": "127.0.0.0/8, 10.0.0.0/8"}
FORWARDED: list[tuple[list[str], str]] = [
    ([], "127.0.0.1"),
    (["X-Forwarded-For: 9.9.9.9"], "9.9.9.9"),
    (["X-Forwarded-For: 6.6.6.6, 9.9.9.9, 10.1.2.3"], "9.9.9.9"),
    (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 9.9.9.9", "x-forwarded-for: 10.0.0.2"], "9.9.9.9"),
    (["X-Forwarded-For: 9.9.9.9:1234"], "9.9.9.9"),
    (["X-Forwarded-For: ::ffff:9.9.9.9"], "9.9.9.9"),
    (["X-Forwarded-For: [2001:db8:1:2:3::4]:443"], "2001:db8:1:2::/64"),
    (["X-Forwarded-For: 9.9.9.9, garbage"], "127.0.0.1"),
    (["X-Forwarded-For: 9.9.9.9, \xff"], "127.0.0.1"),
    (["X_Forwarded_For: 9.9.9.9"], "127.0.0.1"),
    (["X-Real-IP: 9.9.9.9"], "127.0.0.1"),
    (["Forwarded: for=9.9.9.9"], "127.0.0.1"),
    (["Connection: x-forwarded-for", "X-Forwarded-For: 9.9.9.9"], "9.9.9.9"),
]


@pytest.mark.parametrize("trusted", [True, False])
async def test_whose_address_is_counted(settings: Settings, cache: Redis, trusted: bool) -> None:
    """By what is left to each of them."""
    networks = Settings.model_validate(TRUSTED).trusted_proxies if trusted else ()
    async with edge_running(settings, cache, trusted_proxies=networks) as edge:
        for n, (lines, address) in enumerate(FORWARDED):
            counted = address if trusted else "127.0.0.1"
            rule_id, network = f"rule-{n}", counted if "/" in counted else f"{counted}/32"
            value = counted if "/" in counted else network.removesuffix("/32")
            await edge.rule(rule_id, key_type="ip", key_value=value, limit=7, window_seconds=60)

            async def known(lines: list[str] = lines, rule_id: str = rule_id) -> bool:
                return rule_id in (await edge.get("/", *lines)).headers.get("ratelimit-policy", "")

            await eventually(known, 30, f"{lines} is counted as {counted}")


async def test_forwarding_headers_of_proxies_pass_and_grow(settings: Settings, cache: Redis) -> None:
    networks = Settings.model_validate(TRUSTED).trusted_proxies
    sent = [
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-For: 9.9.9.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shop.test",
        "X-Forwarded-Port: 443",
        "X_Forwarded_Proto: gopher",
        "x-forwarded_host: evil.test",
        "Forwarded: for=9.9.9.9;proto=https",
        "Connection: close, X-Forwarded-For, x-forwarded-proto",
    ]
    async with edge_running(settings, cache, trusted_proxies=networks) as edge:
        await edge.get("/", *sent)
        assert added(edge) == {
            b"x-forwarded-for": b"6.6.6.6, 9.9.9.9, 127.0.0.1",
            b"x-forwarded-proto": b"https",
            b"x-forwarded-host": b"shop.test",
            b"x-forwarded-port": b"443",
            b"forwarded": b"for=9.9.9.9;proto=https",
        }
    async with edge_running(settings, cache) as edge:
        await edge.get("/", *sent)
        assert added(edge) == {
            b"x-forwarded-for": b"127.0.0.1",
            b"x-forwarded-proto": b"http",
            b"x-forwarded-host": b"edge.test",
        }


async def test_the_real_address_is_the_one_that_is_counted_and_whole(settings: Settings, cache: Redis) -> None:
    """Whatever a proxy writes into X-Real-IP: some pass on what the client wrote."""
    networks = Settings.model_validate(TRUSTED).trusted_proxies
    async with edge_running(settings, cache, trusted_proxies=networks) as edge:
        for forwarded, real in (
            ("6.6.6.6, 9.9.9.9", b"9.9.9.9"),
            ("2001:db8:1:2:3:4:5:6", b"2001:db8:1:2:3:4:5:6"),
            ("::ffff:9.9.9.9", b"9.9.9.9"),
            ("nonsense", b"127.0.0.1"),
        ):
            await edge.get("/", f"X-Forwarded-For: {forwarded}", "X-Real-IP: 6.6.6.6", "X-Client-IP: 9.9.9.9")
            headers = [one for one in edge.app_server.arrived[-1].headers if one[0] in {b"x-real-ip", b"x-client-ip"}]
            assert headers == [(b"x-client-ip", b"9.9.9.9"), (b"x-real-ip", real)], "a trusted proxy's others are kept"


@pytest.mark.parametrize(
    ("lines", "origin"),
    [
        (["X-Forwarded-Proto: https"], "https://edge.test"),
        (["X-Forwarded-Proto: HTTPS, http", "X-Forwarded-Host: shop.test:8443, edge.test"], "https://shop.test:8443"),
        (["X-Forwarded-Proto: gopher", "X-Forwarded-Host: shop.test/evil"], "http://edge.test"),
        (["X-Forwarded-Proto: ", "X-Forwarded-Host: "], "http://edge.test"),
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
async def test_the_addresses_of_jobs_are_as_a_trusted_proxy_says(
    settings: Settings, cache: Redis, lines: list[str], origin: str, *, trusted: bool
) -> None:
    networks = Settings.model_validate(TRUSTED).trusted_proxies if trusted else ()
    origin = origin if trusted else "http://edge.test"
    async with edge_running(settings, cache, trusted_proxies=networks, counters_timeout_ms=5000.0) as edge:
        await edge.rule("later", key_type="user", key_value="*", limit=1, window_seconds=3600, on_limit="defer")
        bearer = edge.bearer("u")
        await in_force(edge, "later", bearer)
        await edge.get("/", bearer)
        answer = await edge.get("/", bearer, *lines)
        assert answer.status == 202
        path = f"{origin}/_penstock/jobs"
        assert answer.headers["location"] == answer.headers["operation-location"] == f"{path}/{answer.json()['id']}"
        seen = (await edge.get(f"/_penstock/jobs/{answer.json()['id']}", bearer, *lines)).json()
        assert seen["links"]["self"] == answer.headers["location"]


def added(edge: Edge) -> dict[bytes, bytes]:
    """What arrived last, without what every request has; each name once."""
    found = [(name, value) for name, value in edge.app_server.arrived[-1].headers if b"forwarded" in name]
    assert len(dict(found)) == len(found)
    return dict(found)


# Headers that a client may not send


@pytest.mark.parametrize(
    "lines",
    [
        ["Penstock-Identity: forged"],
        ["penstock-identity: forged", "PENSTOCK-IDENTITY: again"],
        ["Penstock_Identity: forged", "penstock-Identity_: forged", "PENSTOCK_JOB_ID: forged"],
        ["Penstock-Job-Id: 0-1", "Penstock-Attempt: 1", "Penstock-: x", "Penstock-Anything: x"],
        ["Penstock_Callback: http://evil.test"],
        ["Connection: penstock-identity", "Penstock-Identity: forged"],
        ["Connection: close, X-Mine", "X-Mine: 1", "Connection: x-yours", "X-Yours: 2"],
        ["Keep-Alive: 5", "Proxy-Connection: close", "TE: trailers", "Trailer: X", "Proxy-Authorization: Basic eA=="],
        ["Keep_Alive: 5", "X_Forwarded_For: 1.1.1.1", "Proxy_Connection: close"],
        ["Connection: x-forwarded-for, x-forwarded-proto, x-forwarded-host, x-request-id", "X-Request-Id: mine"],
        ["X-Forwarded-User: admin", "X-Forwarded-Client-Cert: x", "Forwarded: for=1", "X-FORWARDED-FOR: 1.1.1.1"],
        ["Connection: host", "Connection: Authorization"],
        ["X-Forwarded-Prefix: /admin", "X-Forwarded: for=1", "Forwarded-For: 1.1.1.1", "Forwarded_For: 1.1.1.1"],
        ["X-Real-IP: 1.1.1.1", "X_Real_IP: 1.1.1.1", "x-real_ip: 1.1.1.1"],
        ["X-Client-IP: 1.1.1.1", "True-Client-IP: 1.1.1.1", "CF-Connecting-IP: 1.1.1.1", "X_Client_IP: 1.1.1.1"],
        ["X-Cluster-Client-IP: 1.1.1.1", "Fastly-Client-IP: 1.1.1.1", "Client-IP: 1.1.1.1", "X-Remote-IP: 1.1.1.1"],
        ["X-Original-URL: /admin", "X-Rewrite-URL: /admin", "X-Original-Host: evil.test"],
    ],
    ids=lambda lines: lines[0],
)
async def test_the_app_server_gets_no_header_that_only_penstock_may_write(
    edge: Edge, settings: Settings, lines: list[str]
) -> None:
    answer = await edge.get("/", *lines)
    assert answer.status == 200
    headers = dict(edge.app_server.arrived[0].headers)
    given = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id", b"x-real-ip"}
    assert set(headers) == {b"host"} | given
    assert headers[b"x-real-ip"] == b"127.0.0.1"
    assert (headers[b"host"], headers[b"x-forwarded-host"]) == (b"edge.test", b"edge.test")
    assert (headers[b"x-forwarded-for"], headers[b"x-forwarded-proto"]) == (b"127.0.0.1", b"http")
    assert headers[b"x-request-id"] != b"mine"


async def test_a_callers_callback_passes(edge: Edge) -> None:
    await edge.get("/", "Penstock-Callback: https://mine.test/done")
    assert (b"penstock-callback", b"https://mine.test/done") in edge.app_server.arrived[0].headers


# Penstock-Identity


def pem(*keys: Ed25519PrivateKey, public: bool = False) -> bytes:
    encoding = serialization.Encoding.PEM
    if public:
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        return b"".join(key.public_key().public_bytes(encoding, info) for key in keys)
    plain = serialization.NoEncryption()
    return b"".join(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain) for key in keys)


async def told(edge: Edge, *lines: str) -> list[bytes]:
    """The identities that arrive with such a request."""
    assert (await edge.get("/", *lines)).status == 200
    return [value for name, value in edge.app_server.arrived[-1].headers if name == b"penstock-identity"]


async def believed(edge: Edge, token: bytes) -> dict[str, Any]:
    """As an app server would, with PyJWT and our key set."""
    published = jwt.PyJWKSet.from_dict((await edge.get("/_penstock/jwks.json")).json())
    claims: dict[str, Any] = jwt.decode(
        token,
        published[jwt.get_unverified_header(token)["kid"]],
        algorithms=["EdDSA"],
        issuer="penstock",
        audience="app",
        options={"require": ["iss", "aud", "sub", "orig_iss", "iat", "exp"]},
    )
    return claims


async def test_an_identity_is_ours_alone_to_write(settings: Settings, cache: Redis, tmp_path: Path) -> None:
    file = tmp_path / "identity.pem"
    file.write_bytes(pem(Ed25519PrivateKey.generate()))
    async with edge_running(settings, cache, identity="required", identity_key_file=file) as edge:
        forged = ["Penstock-Identity: forged", "Penstock_Identity: forged", "Connection: penstock-identity"]
        assert await told(edge, *forged) == [], "the anonymous have none"
        (token,) = await told(edge, edge.bearer("alice"), *forged)
        claims = await believed(edge, token)
        assert (claims["sub"], claims["orig_iss"], claims["exp"] - claims["iat"]) == ("alice", "test", 60)
        assert await told(edge, edge.bearer("alice", more=1)) == [token], "one for a caller and half a minute"
        assert await told(edge, edge.bearer("bob")) != [token]
        (published,) = (await edge.get("/_penstock/jwks.json")).json()["keys"]
        assert set(published) == {"kty", "crv", "x", "kid", "alg", "use"}, "nothing private"
        answer = await edge.get("/", bearer(token.decode()))
        assert (answer.status, answer.headers["www-authenticate"]) == (401, INVALID), "it is no token for an edge"


@pytest.mark.parametrize("public", [False, True], ids=["private", "public"])
async def test_a_rotation_of_our_own_key_is_never_a_refused_caller(
    settings: Settings, cache: Redis, tmp_path: Path, public: bool
) -> None:
    """As the README says: publish the new one, sign with it, remove the old one; the demo app keeps its key set."""
    old, new, file = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate(), tmp_path / "identity.pem"
    steps = [
        pem(old),
        pem(old) + pem(new, public=public),
        pem(new) + pem(old, public=public),
        pem(new),
    ]
    kids: list[str] = []
    published: list[list[str]] = []
    signed: list[bytes] = []
    async with aiohttp.ClientSession() as http:
        callers = demo_app.Callers("http://127.0.0.1:1")
        context = ServerContext(
            as_application(demo_app.DemoApp(callers)), ServerLimits.from_settings(settings), lambda _: None
        )
        server = await asyncio.get_running_loop().create_server(connection_factory(context), "127.0.0.1", 0)
        upstreams = (HttpUrl(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"),)
        try:
            for step in steps:
                file.write_bytes(step)
                async with edge_running(
                    settings, cache, identity="required", identity_key_file=file, upstreams=upstreams
                ) as edge:
                    callers._url = f"http://127.0.0.1:{edge.port}/_penstock/jwks.json"
                    callers._fetched_at_s = -demo_app.KEYS_PAUSE_S
                    answer = await edge.get("/", edge.bearer("alice"), "Penstock-Identity: forged")
                    assert answer.json()["caller"] == {"sub": "alice", "iss": "test"}
                    (token,) = [v for k, v in answer.json()["headers"].items() if k.lower() == "penstock-identity"]
                    kids.append(jwt.get_unverified_header(token)["kid"])
                    signed.append(token.encode())
                    for one in signed[-2:]:  # what was signed a moment ago is on its way still
                        assert (await believed(edge, one))["sub"] == "alice"
                    keys = (await edge.get("/_penstock/jwks.json")).json()["keys"]
                    published.append([key["kid"] for key in keys])
                    assert (await edge.get("/")).json()["caller"] is None
                    for lines in (
                        {"Penstock-Identity": "forged"},
                        {"Penstock-Identity": jwt.encode({"sub": "alice"}, Ed25519PrivateKey.generate(), "EdDSA")},
                        {"Penstock-Identity": edge.issuer.token("alice")},
                    ):
                        async with http.get(str(upstreams[0]), headers=lines) as direct:
                            assert direct.status == 401, "who goes around Penstock is not believed"
        finally:
            server.close()
    assert kids[0] == kids[1] != kids[2] == kids[3]
    assert published == [[kids[0]], [kids[0], kids[2]], [kids[2], kids[0]], [kids[2]]]
