"""Forged tokens at a running edge: each is 401, none reaches the app server, none is ever the anonymous."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import jwt
import orjson
import pytest
from pydantic import HttpUrl
from redis.asyncio import Redis

from app.identity.foreign_tokens import names_issuer
from app.identity.issuer_keys import UNKNOWN_KID_PAUSE_S
from app.settings import Settings
from tests.support.edge_in_process import Edge, Said, edge_running, said
from tests.support.forgery import ISSUER, Keyring, KeySite, flipped, forged, key_site

INVALID = 'Bearer error="invalid_token"'


@dataclass
class Scene:
    edge: Edge
    true: Keyring
    site: KeySite

    async def say(self, *tokens: str) -> list[Said]:
        """The answers to these tokens, sent on one connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.edge.port)
        answers = []
        for token in tokens:
            head = f"GET /forged HTTP/1.1\r\nHost: edge.test\r\nAuthorization: Bearer {token}\r\n\r\n"
            writer.write(head.encode())
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            length = int(said(answer).headers["content-length"])
            answers.append(said(answer + await reader.readexactly(length)))
        writer.close()
        return answers


@asynccontextmanager
async def scene(settings: Settings, cache: Redis, **changed: Any) -> AsyncIterator[Scene]:  # noqa: ANN401
    true = Keyring()
    async with key_site(orjson.dumps(true.jwks())) as site:
        issuer = {"jwks_url": HttpUrl(f"{site.url}/jwks"), "jwt_issuer": ISSUER, "bad_tokens_per_minute": 1_000_000}
        async with edge_running(settings, cache, **(issuer | changed)) as edge:
            yield Scene(edge, true, site)


async def test_nothing_forged_gets_through(settings: Settings, cache: Redis) -> None:
    async with key_site(b"{}") as attacker, scene(settings, cache) as on:
        started = time.monotonic()
        corpus = list(forged(on.true, attacker.url))
        assert len(corpus) > 350
        answers = await on.say(*(token for _, token in corpus))
        wrong = {
            name: (answer.status, answer.body)
            for (name, _), answer in zip(corpus, answers, strict=True)
            if (answer.status, answer.headers.get("www-authenticate")) != (401, INVALID)
        }
        assert wrong == {}
        assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
        assert not on.edge.app_server.arrived
        assert attacker.asked == [], "no token says where keys are to be found"
        assert set(on.site.asked) == {"/jwks"}
        assert len(on.site.asked) <= 1 + (time.monotonic() - started) / UNKNOWN_KID_PAUSE_S + 1
        good = await on.say(*(on.true.token(kid=kid) for kid in ("ec", "rsa", "ed")))
        assert [answer.status for answer in good] == [200, 200, 200], "what they imitate is good"


async def test_nothing_forged_passes_where_tokens_of_others_do(settings: Settings, cache: Redis) -> None:
    """What names our issuer is refused. What names nobody of us arrives as anybody's request without a token would."""
    async with key_site(b"{}") as attacker, scene(settings, cache, auth="passthrough") as on:
        corpus = list(forged(on.true, attacker.url))
        for name, token in corpus:
            arrived = len(on.edge.app_server.arrived)
            (answer,) = await on.say(token)
            passed = on.edge.app_server.arrived[arrived:]
            assert answer.status == (401 if names_issuer(token, ISSUER) else 200), name
            assert len(passed) == (answer.status == 200), name
        assert sum(names_issuer(token, ISSUER) for _, token in corpus) > 300
        assert attacker.asked == []


@pytest.mark.parametrize("kid", ["ec", "rsa", "ed"])
async def test_no_bit_of_a_token_may_change(settings: Settings, cache: Redis, kid: str) -> None:
    async with scene(settings, cache) as on:
        good = on.true.token(kid=kid)
        corpus = list(flipped(good))
        answers = await on.say(*(token for _, token in corpus))
        wrong = [name for (name, _), answer in zip(corpus, answers, strict=True) if answer.status != 401]
        assert wrong == []
        assert not on.edge.app_server.arrived
        assert [answer.status for answer in await on.say(good)] == [200]


async def test_an_issuers_own_token_may_say_where_its_keys_are(settings: Settings, cache: Redis) -> None:
    """Some do; it is not followed."""
    async with key_site(b"{}") as elsewhere, scene(settings, cache) as on:
        header = {"alg": "ES256", "kid": "ec", "jku": f"{elsewhere.url}/jwks", "x5u": f"{elsewhere.url}/x5u"}
        answers = await on.say(on.true.written(header, on.true.claims(aud=["another", "penstock"], sub="a" * 1024)))
        assert [answer.status for answer in answers] == [200]
        assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("authorization", "status", "challenge"),
    [
        ([], 200, None),
        (["Basic dXNlcjpwYXNz"], 200, None),
        (["Bearer"], 400, None),
        (["Bearer "], 400, None),
        (["bearer \t "], 400, None),
        (["Bearer,"], 400, None),
        (["Bearer\t{token}"], 400, None),
        (["Bearer{token}"], 400, None),
        (["BEARER={token}"], 400, None),
        (["Bearer {token}", "Bearer {token}"], 400, None),
        (["Bearer {token}", "Basic x"], 400, None),
        (["Basic x", "Bearer {token}"], 400, None),
        (["", ""], 400, None),
        (["Bearer {token}, Bearer {token}"], 401, INVALID),
        (["Bearer Bearer {token}"], 401, INVALID),
        (["Bearer token={token}"], 401, INVALID),
        (["Bearer {token}"], 200, None),
        (["bEARER   {token}"], 200, None),
    ],
)
async def test_authorization_headers(
    settings: Settings, cache: Redis, authorization: list[str], status: int, challenge: str | None
) -> None:
    async with scene(settings, cache) as on:
        lines = [f"Authorization: {value.replace('{token}', on.true.token())}" for value in authorization]
        for _ in range(2):  # what is known from before is results alike
            answer = await on.edge.get("/", *lines)
            assert (answer.status, answer.headers.get("www-authenticate")) == (status, challenge)
        assert len(on.edge.app_server.arrived) == (2 if status == 200 else 0)


async def test_below_penstocks_own_paths_too(settings: Settings, cache: Redis) -> None:
    async with scene(settings, cache) as on:
        for path in ("/_penstock/limits", "/_penstock/jobs", "/_penstock/jobs/0-x"):
            for token, status, challenge in (
                ("Authorization: Bearer a.b.c", 401, INVALID),
                ("Authorization: Bearer", 400, None),
            ):
                answer = await on.edge.get(path, token)
                assert (answer.status, answer.headers.get("www-authenticate")) == (status, challenge)
        nobody = await on.edge.get("/_penstock/jobs")
        assert (nobody.status, nobody.headers["www-authenticate"]) == (401, 'Bearer realm="penstock"')


async def test_only_the_settings_algorithms_count(settings: Settings, cache: Redis) -> None:
    async with scene(settings, cache, jwt_algorithms=("PS256",)) as on:
        pss = jwt.encode(on.true.claims(), on.true.rsa, "PS256", {"kid": "rsa"})
        answers = await on.say(pss, *(on.true.token(kid=kid) for kid in ("ec", "rsa", "ed")))
        assert [answer.status for answer in answers] == [200, 401, 401, 401]
