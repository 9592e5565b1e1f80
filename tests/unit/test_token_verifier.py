"""The verifier, as edge and admin API share it: the forged tokens, times to the second, keys that come and go."""

import asyncio
import datetime
import gzip
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import jwt.api_jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from jwt.algorithms import RSAAlgorithm
from pydantic import HttpUrl

from app.admin.operators import OperatorAuthenticator
from app.admin.rest.auth import AsViewer
from app.clients import http_client
from app.errors import Unauthenticated, Unavailable
from app.identity import issuer_keys
from app.identity.issuer_documents import FETCH_TIMEOUT_S, MAX_DOCUMENT_BYTES
from app.identity.issuer_keys import UNKNOWN_KID_PAUSE_S, WAIT_TIMEOUT_S, IssuerKey, IssuerKeys
from app.identity.tokens import TokenVerifier
from app.process.lifecycle import cancel
from app.settings import Settings
from app.web.problem_handlers import add_problem_handlers
from tests.support.forgery import ISSUER, Keyring, KeySite, forged, key_site
from tests.support.waiting import eventually


class Clock:
    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine an issuer that answers late is none that hangs."""
    monkeypatch.setattr(issuer_keys, "WAIT_TIMEOUT_S", 30.0)


@asynccontextmanager
async def verifying(true: Keyring) -> AsyncIterator[tuple[TokenVerifier, Settings]]:
    async with key_site(orjson.dumps(true.jwks())) as site, http_client() as session:
        settings = Settings(jwks_url=HttpUrl(f"{site.url}/jwks"), jwt_issuer=ISSUER)
        yield TokenVerifier(settings, session, true.audience), settings


async def test_the_admin_api_believes_nothing_forged_and_no_token_of_the_data_plane() -> None:
    true = Keyring("penstock-admin")
    async with verifying(true) as (verifier, settings), key_site(b"{}") as attacker:
        admin = FastAPI()
        admin.state.parts = SimpleNamespace(authenticator=OperatorAuthenticator(verifier, settings))
        add_problem_handlers(admin)

        @admin.get("/")
        async def name(operator: AsViewer) -> str:
            return operator.name

        async with AsyncClient(transport=ASGITransport(admin), base_url="http://admin") as client:

            async def status(token: str) -> tuple[int, str | None]:
                headers = {"Authorization": f"Bearer {token}".encode()}
                answer = await client.get("/", headers=headers)  # type: ignore[arg-type]
                return answer.status_code, answer.headers.get("WWW-Authenticate")

            wrong = {
                name: said
                for name, token in forged(true, attacker.url)
                if (said := await status(token)) != (401, 'Bearer error="invalid_token"')
            }
            assert wrong == {}
            assert attacker.asked == []
            assert await status(true.token(penstock_role="viewer")) == (200, None)
            of_the_data_plane = true.token(penstock_role="admin", aud="penstock")
            assert await status(of_the_data_plane) == (401, 'Bearer error="invalid_token"')
            bare = await client.get("/")
            assert (bare.status_code, bare.headers["WWW-Authenticate"]) == (401, 'Bearer realm="penstock"')
            glued = await client.get("/", headers={"Authorization": f"Bearer{true.token()}"})
            twice = await client.get("/", headers=[("Authorization", f"Bearer {true.token()}")] * 2)
            assert (glued.status_code, twice.status_code) == (400, 400)


@pytest.mark.parametrize(
    ("claim", "after_now_s", "good"),
    [
        ("exp", 1, True),
        ("exp", 0, True),
        ("exp", -29, True),
        ("exp", -29.5, False),  # read as whole seconds, rounded down
        ("exp", -30, False),
        ("exp", -31, False),
        ("nbf", 29, True),
        ("nbf", 30, True),
        ("nbf", 31, False),
        ("iat", 30, True),
        ("iat", 31, False),
    ],
)
async def test_times_to_the_second(monkeypatch: pytest.MonkeyPatch, claim: str, after_now_s: float, good: bool) -> None:
    true, now_s = Keyring(), 2_000_000_000

    class Stopped(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Stopped":
            return cls.fromtimestamp(now_s, tz)

    monkeypatch.setattr(jwt.api_jwt, "datetime", Stopped)
    times: dict[str, Any] = {"exp": now_s + 100, "nbf": now_s, "iat": now_s} | {claim: now_s + after_now_s}
    async with verifying(true) as (verifier, _):
        token = true.token(**times)
        if good:
            assert (await verifier.verify(token))["sub"] == "alice"
        else:
            with pytest.raises(Unauthenticated):
                await verifier.verify(token)


async def test_without_an_issuer_every_token_is_bad() -> None:
    async with http_client() as session:
        verifier = TokenVerifier(Settings(), session, "penstock")
        await verifier.run()
        with pytest.raises(Unauthenticated):
            await verifier.verify(Keyring().token())


# Keys that come and go


@asynccontextmanager
async def keys_of(jwks: object, clock: Callable[[], float]) -> AsyncIterator[tuple[IssuerKeys, KeySite]]:
    body = jwks if isinstance(jwks, bytes) else orjson.dumps(jwks)
    async with key_site(body) as site, http_client() as session:
        yield IssuerKeys(site.url, session, 300, clock), site


def only(true: Keyring, *kids: str) -> bytes:
    return orjson.dumps({"keys": [key for key in true.jwks()["keys"] if key["kid"] in kids]})


async def test_a_new_key_is_known_at_once_and_an_old_one_no_longer_trusted() -> None:
    true, clock = Keyring(), Clock(1000.0)
    async with keys_of(true.jwks(), clock) as (keys, site):
        first, kept = await keys.key("ec"), await keys.key("ed")
        assert first is not None
        assert kept is not None
        site.body = only(true, "rsa", "ed")
        clock.now_s += UNKNOWN_KID_PAUSE_S
        assert await keys.key("ec") is first, "nobody was asked: the key is known"
        assert await keys.key("unknown") is None
        assert (first.trusted, kept.trusted) == (False, True)
        assert await keys.key("ec") is None
        assert await keys.key("ed") is kept, "what it signed stays known"
        site.body = orjson.dumps({"keys": [key | {"kid": "ed"} for key in Keyring().jwks()["keys"][:1]]})
        clock.now_s += UNKNOWN_KID_PAUSE_S
        await keys.key("unknown")
        assert not kept.trusted, "another key under its name"
        assert await keys.key("ed") is not kept
        assert await keys.key(None) is await keys.key("ed"), "the only one need not be named"


async def test_thousands_of_unknown_keys_are_asked_for_once_in_ten_seconds() -> None:
    clock = Clock(1000.0)
    async with keys_of(Keyring().jwks(), clock) as (keys, site):
        await keys.key("ec")
        for round_ in range(3):
            clock.now_s += UNKNOWN_KID_PAUSE_S / 2
            found = await asyncio.gather(*(keys.key(f"{round_}-{n}") for n in range(2000)))
            assert set(found) == {None}
        assert len(site.asked) == 2


def at_once(answer: Coroutine[Any, Any, IssuerKey | None]) -> IssuerKey | None:
    """What a coroutine returns that waits for nothing."""
    with pytest.raises(StopIteration) as ended:
        answer.send(None)
    found: IssuerKey | None = ended.value.value
    return found


async def test_while_the_issuer_hangs_known_keys_serve_and_unknown_ones_do_not_wait_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(issuer_keys, "WAIT_TIMEOUT_S", WAIT_TIMEOUT_S)
    clock = Clock(1000.0)
    async with keys_of(Keyring().jwks(), clock) as (keys, site):
        known = await keys.key("ec")
        site.hangs.clear()
        clock.now_s += UNKNOWN_KID_PAUSE_S
        flood = [asyncio.create_task(keys.key(f"u{n}")) for n in range(5000)]
        too_late = asyncio.create_task(asyncio.sleep(WAIT_TIMEOUT_S + FETCH_TIMEOUT_S - 1))

        async def asked() -> bool:
            return len(site.asked) == 2

        async def answered() -> bool:
            return site.answered == 2

        await eventually(asked, 30, "the issuer was asked")
        assert at_once(keys.key("ec")) is known
        assert sum(task.done() for task in flood) >= 4000 - 1, "only so many wait at once"
        assert set(await asyncio.gather(*flood)) == {None}
        assert not too_late.done(), "nobody waited until the fetch timed out"
        await cancel({too_late})
        assert len(site.asked) == 2
        site.hangs.set()
        await eventually(answered, 30, "the issuer answered at last")


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"keys": null}',
        b'{"keys": {"kid": "ec"}}',
        b'{"keys": 5}',
        b'{"keys": []}',
        b'{"keys": [null, 1, "ec", [], {}]}',
        b'{"keys": [{"kty": "oct", "k": "AAAA", "kid": "ec"}]}',
        b'{"keys": [{"kty": "EC", "kid": "ec", "use": "enc"}]}',
        b'{"keys": [{"kty": "EC", "kid": "ec", "key_ops": ["sign"]}]}',
        b'{"keys": [{"kty": "EC", "kid": "ec", "key_ops": null}]}',
        b'{"keys": [' + b" " * MAX_DOCUMENT_BYTES + b"]}",
        b"\xff\xfe",
    ],
    ids=lambda body: body[:40],
)
async def test_a_broken_key_set_replaces_none(broken: bytes) -> None:
    true, clock = Keyring(), Clock(1000.0)
    async with keys_of(true.jwks(), clock) as (keys, site):
        known = await keys.key("ec")
        site.body = broken
        clock.now_s += UNKNOWN_KID_PAUSE_S
        assert await keys.key("new") is None
        assert len(site.asked) == 2
        assert known is not None
        assert known.trusted
        assert await keys.key("ec") is known
        site.status, site.body = 500, only(true, "rsa")
        clock.now_s += UNKNOWN_KID_PAUSE_S
        assert await keys.key("new") is None
        assert await keys.key("ec") is known


async def test_a_key_set_of_any_size_is_not_read_to_its_end() -> None:
    true, clock = Keyring(), Clock(1000.0)
    async with keys_of(only(true, "ec"), clock) as (keys, site):
        await keys.key("ec")
        for padding, known in ((MAX_DOCUMENT_BYTES, False), (MAX_DOCUMENT_BYTES - 2000, True)):
            site.body = only(true, "ec", "ed") + b" " * padding
            clock.now_s += UNKNOWN_KID_PAUSE_S
            assert (await keys.key("ed") is not None) == known


async def test_a_redirect_is_not_followed() -> None:
    true, clock = Keyring(), Clock(1000.0)
    async with keys_of(true.jwks(), clock) as (keys, site), key_site(only(true, "ec")) as elsewhere:
        site.status, site.headers = 302, {"Location": f"{elsewhere.url}/jwks"}
        with pytest.raises(Unavailable):
            await keys.key("ec")
        assert (len(site.asked), elsewhere.asked) == (1, [])


async def test_a_compressed_key_set_is_not_expanded() -> None:
    true, clock = Keyring(), Clock(1000.0)
    async with keys_of(gzip.compress(only(true, "ec")), clock) as (keys, site):
        site.headers = {"Content-Encoding": "gzip"}
        with pytest.raises(Unavailable):
            await keys.key("ec")
        assert len(site.asked) == 1


async def test_the_issuer_gets_no_cookies_back() -> None:
    clock = Clock(1000.0)
    async with keys_of(Keyring().jwks(), clock) as (keys, site):
        site.headers = {"Set-Cookie": "a=1"}
        for kid in ("ec", "unknown"):
            await keys.key(kid)
            clock.now_s += UNKNOWN_KID_PAUSE_S
        assert site.cookies == [None, None]


async def test_broken_keys_among_good_ones_are_not_used() -> None:
    true, clock = Keyring(), Clock(1000.0)
    short = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
    more: list[Any] = [
        {"kty": "EC", "kid": "no point", "crv": "P-256"},
        {"kty": "EC", "kid": "off the curve", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
        {"kty": "EC", "kid": "numbers", "crv": "P-256", "x": 5, "y": []},
        {"kty": "RSA", "kid": "no n", "e": "AQAB"},
        dict(short) | {"kid": "short"},
        {"kty": "OKP", "kid": "no x", "crv": "Ed25519"},
        {"kty": "OKP", "kid": "X25519", "crv": "X25519", "x": "A" * 43},
        {"kty": "EC", "kid": ["a"], "crv": ["P-256"], "alg": ["ES256"]},
    ]
    async with keys_of({"keys": [*more, *true.jwks()["keys"]]}, clock) as (keys, _):
        for jwk in more[:-1]:
            key = await keys.key(jwk["kid"])
            assert key is not None
            assert [key.for_algorithm(algorithm) for algorithm in ("ES256", "RS256", "EdDSA")] == [None] * 3, jwk
        good = await keys.key("ec")
        assert good is not None
        assert good.for_algorithm("ES256") is not None
        assert (good.for_algorithm("RS256"), good.for_algorithm("ES384"), good.for_algorithm("EdDSA")) == (
            None,
            None,
            None,
        )
        assert await keys.key("enc") is None


async def test_without_any_key_the_answer_is_unavailable_and_the_issuer_is_asked_once_a_second() -> None:
    clock = Clock(1000.0)
    async with keys_of(b"", clock) as (keys, site):
        for _ in range(20):
            with pytest.raises(Unavailable):
                await keys.key("ec")
            clock.now_s += 0.25
        assert len(site.asked) == 5


async def test_keys_are_asked_for_again_without_any_token() -> None:
    true = Keyring()
    async with key_site(orjson.dumps(true.jwks())) as site, http_client() as session:
        clock = Clock(1000.0)
        keys = IssuerKeys(site.url, session, 0.05, clock)
        running = asyncio.create_task(keys.run())

        async def known() -> bool:
            return bool(site.asked)

        async def withdrawn() -> bool:
            clock.now_s += UNKNOWN_KID_PAUSE_S
            return not old.trusted

        await eventually(known, 30, "asked before any token came")
        found = await keys.key("ec")
        assert found is not None
        old = found
        site.body = only(true, "rsa")
        await eventually(withdrawn, 30, "the withdrawn key is no longer trusted")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
