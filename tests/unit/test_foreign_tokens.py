"""Bearer tokens that are not of our issuer: which ones are, and what an edge makes of them (PENSTOCK_AUTH)."""

import base64
import json
from typing import Any

import pytest

from app.errors import Unauthenticated
from app.identity.authentication import FOREIGN_CACHE_BYTES, Authenticator
from app.identity.foreign_tokens import names_issuer
from app.identity.issuer_keys import IssuerKey
from app.identity.tokens import VerifiedClaims
from app.settings import Settings
from tests.unit.test_authentication import Asked, bearing

OURS = "https://issuer.test"
HEADER = base64.urlsafe_b64encode(b'{"alg":"ES256"}').rstrip(b"=").decode()


def part(claims: object) -> str:
    text = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def token(claims: object) -> str:
    return f"{HEADER}.{part(claims)}.c2ln"


GOOD = token({"iss": OURS, "sub": "u"})
OF_OURS = {
    "a forged one": token({"iss": OURS}),
    "no signature": f"{HEADER}.{part({'iss': OURS})}",
    "padding": f"{HEADER}.{base64.urlsafe_b64encode(json.dumps({'iss': OURS}).encode()).decode()}.c2ln",
    "the other base64": f"{HEADER}.{base64.b64encode(json.dumps({'iss': OURS, 'x': '???>>>'}).encode()).decode()}.c2ln",
    "written twice": token(f'{{"iss":"{OURS}","iss":"other"}}'.encode()),
    "written twice, ours last": token(f'{{"iss":"other","iss":"{OURS}"}}'.encode()),
    "an escaped name": token(f'{{"\\u0069ss":"{OURS}"}}'.encode()),
    "a byte order mark": token(b"\xef\xbb\xbf" + json.dumps({"iss": OURS}).encode()),
    "bytes that are not UTF-8": token(b'{"x":"\xff","iss":"' + OURS.encode() + b'"}'),
    "NaN": token(f'{{"x":NaN,"iss":"{OURS}"}}'.encode()),
    "a header that is none": f"###.{part({'iss': OURS})}.###",
    "a fourth part": token({"iss": OURS}) + ".more",
}
FOREIGN = {
    "opaque": "gho_16C7e42F292c6912E7710c838347Ae178B4a",
    "with a dot": "sk.live",
    "dots only": "....",
    "another issuer": token({"iss": "https://elsewhere.test"}),
    "no issuer": token({"sub": "u"}),
    "an issuer that is a list": token({"iss": [OURS]}),
    "an issuer within": token({"act": {"iss": OURS}}),
    "no object": token([["iss", OURS]]),
    "no JSON": token(b"iss"),
    "nested too deeply": token(b"[" * 20_000),
    "encrypted": f"{HEADER}.AAAA.BBBB.CCCC.DDDD",
    "not ASCII": "t\u00f6ken.t\u00f6ken",
    "odd base64": f"{HEADER}.A.B",
}


@pytest.mark.parametrize("name", OF_OURS)
def test_a_token_that_any_parser_could_take_for_ours_is_ours(name: str) -> None:
    assert names_issuer(OF_OURS[name], OURS)


@pytest.mark.parametrize("name", FOREIGN)
def test_what_names_nobody_of_us_is_foreign(name: str) -> None:
    assert not names_issuer(FOREIGN[name], OURS)


class Refuser:
    """A verifier that believes one token only, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def verified(self, token: str) -> VerifiedClaims:
        self.asked.append(token)
        if token != GOOD:
            raise Unauthenticated("The token is not valid.", invalid_token=True)
        return VerifiedClaims({"sub": "u", "iss": OURS, "exp": 9e9}, IssuerKey({}))


def authenticator(auth: str, issuer: str | None = OURS) -> tuple[Authenticator, Refuser]:
    verifier: Any = Refuser()
    settings = Settings.model_validate({"auth": auth, "jwt_issuer": issuer, "bad_tokens_per_minute": 3})
    return Authenticator(verifier, settings), verifier


async def test_passed_through_as_an_anonymous_caller() -> None:
    one, verifier = authenticator("passthrough")
    for foreign in FOREIGN.values():
        asked = Asked("192.0.2.1", [], b"Bearer " + foreign.encode())
        caller = await one.authenticate(asked)
        assert (caller.subject, caller.issuer, caller.claims) == (None, None, {})
        assert one.cached_caller(asked) is caller is one.cached_caller(Asked("192.0.2.1", [])), "no token, no caller"
        other = one.cached_caller(Asked("192.0.2.2", [], asked.authorization))
        assert other is not None
        assert other.address == "192.0.2.2", "what is remembered of a token is that it is foreign"
    assert verifier.asked == [], "nor do they count as bad tokens"


@pytest.mark.parametrize("name", OF_OURS)
async def test_a_bad_token_of_ours_stays_refused(name: str) -> None:
    one, verifier = authenticator("passthrough")
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await one.authenticate(bearing(OF_OURS[name]))
        assert one.cached_caller(bearing(OF_OURS[name])) is None
    assert len(verifier.asked) == 2


@pytest.mark.parametrize("auth", ["optional", "required"])
async def test_otherwise_every_token_is_verified(auth: str) -> None:
    one, verifier = authenticator(auth)
    with pytest.raises(Unauthenticated):
        await one.authenticate(bearing(FOREIGN["opaque"]))
    assert verifier.asked == [FOREIGN["opaque"]]


async def test_without_an_issuer_every_token_is_foreign() -> None:
    one, verifier = authenticator("passthrough", None)
    assert (await one.authenticate(bearing(OF_OURS["a forged one"]))).subject is None
    assert verifier.asked == []


async def test_many_foreign_tokens_leave_memory_and_the_verified_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a sixteenth of the memory that an edge has for them."""
    monkeypatch.setattr("app.identity.authentication.FOREIGN_CACHE_BYTES", FOREIGN_CACHE_BYTES // 16)
    one, _ = authenticator("passthrough")
    known = await one.authenticate(bearing(GOOD))
    for number in range(3000):
        await one.authenticate(bearing(f"opaque-{number:0500}"))
    remembered = one._foreign._young | one._foreign._old
    assert 0 < sum(map(len, remembered)) < FOREIGN_CACHE_BYTES // 16
    assert known.subject == "u"
    assert one.cached_caller(bearing(GOOD)) is known
