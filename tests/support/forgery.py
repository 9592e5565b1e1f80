"""A forger's workshop: an issuer of three algorithms, its key set as a test wants it, and every bad token we know."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.test"
ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
Corpus = Iterator[tuple[str, str]]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def as_json(value: object) -> bytes:
    """JSON as it comes: lists, twins written by hand, NaN."""
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


class Keyring:
    """The keys of one issuer. `audience`: whom its tokens are for."""

    def __init__(self, audience: str = "penstock") -> None:
        self.audience = audience
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ed = ed25519.Ed25519PrivateKey.generate()
        self.for_encryption = rsa.generate_private_key(65537, 2048)

    def jwks(self) -> dict[str, Any]:
        return {
            "keys": [
                dict(ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True)) | {"kid": "ec", "use": "sig"},
                dict(RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True)) | {"kid": "rsa", "key_ops": ["verify"]},
                dict(OKPAlgorithm.to_jwk(self.ed.public_key(), as_dict=True)) | {"kid": "ed", "alg": "EdDSA"},
                dict(RSAAlgorithm.to_jwk(self.for_encryption.public_key(), as_dict=True))
                | {"kid": "enc", "use": "enc", "key_ops": ["encrypt"]},
            ]
        }

    def claims(self, **changed: Any) -> dict[str, Any]:  # noqa: ANN401
        """Good ones; one that is `...` is left out."""
        now = int(time.time())
        good = {"iss": ISSUER, "aud": self.audience, "sub": "alice", "iat": now, "nbf": now, "exp": now + 3600}
        return {name: value for name, value in (good | changed).items() if value is not ...}

    def token(self, subject: str = "alice", kid: str = "ec", **claims: Any) -> str:  # noqa: ANN401
        """A good one, of any of the keys."""
        algorithm, key = {"ec": ("ES256", self.ec), "rsa": ("RS256", self.rsa), "ed": ("EdDSA", self.ed)}[kid]
        return jwt.encode(self.claims(sub=subject, **claims), key, algorithm, {"kid": kid})  # type: ignore[arg-type]

    def written(self, header: object, claims: object) -> str:
        """Signed by the true ES256 key, whatever is written."""
        signing = f"{b64(as_json(header))}.{b64(as_json(claims))}"
        return f"{signing}.{b64(self.signature(signing))}"

    def signature(self, signing: str) -> bytes:
        r, s = decode_dss_signature(self.ec.sign(signing.encode(), ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def forged(true: Keyring, attacker_url: str) -> Corpus:
    """Tokens that nobody may believe, each with its name. The good one that they imitate is `true.token()`."""
    yield from _without_a_signature(true)
    yield from _public_key_as_a_secret(true)
    yield from _wrong_keys(true)
    yield from _strange_signatures(true)
    yield from _kid_tricks(true)
    yield from _keys_brought_along(true, attacker_url)
    yield from _extensions(true)
    yield from _written_in_another_way(true)
    yield from _bad_claims(true)


def _without_a_signature(true: Keyring) -> Corpus:
    claims = b64(as_json(true.claims()))
    for alg in ("none", "None", "NONE", "nOnE", "none ", " none", "", "null", None, [], ["none"], {"a": 1}, 0, False):
        header = b64(as_json({"alg": alg, "typ": "JWT", "kid": "ec"}))
        yield f"alg {alg!r} without a signature", f"{header}.{claims}."
        yield f"alg {alg!r} with the good one", true.written({"alg": alg, "kid": "ec"}, true.claims())
    good = true.token().rpartition(".")[0]
    yield "the signature cut off", good + "."
    yield "signature and dot cut off", good
    yield "no alg", true.written({"kid": "ec"}, true.claims())


def _public_key_as_a_secret(true: Keyring) -> Corpus:
    encodings, formats = serialization.Encoding, serialization.PublicFormat
    for kid, key in (("ec", true.ec.public_key()), ("rsa", true.rsa.public_key())):
        jwk = next(jwk for jwk in true.jwks()["keys"] if jwk["kid"] == kid)
        pem = key.public_bytes(encodings.PEM, formats.SubjectPublicKeyInfo)
        secrets = {
            "PEM": pem,
            "PEM without its last newline": pem.rstrip(),
            "DER": key.public_bytes(encodings.DER, formats.SubjectPublicKeyInfo),
            "JWK": as_json(jwk),
            "coordinate": unb64(jwk.get("x", jwk.get("n"))),
            "nothing": b"",
        }
        for alg, digest in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
            for name, secret in secrets.items():
                signing = f"{b64(as_json({'alg': alg, 'kid': kid}))}.{b64(as_json(true.claims()))}"
                yield f"{alg} with {kid} as {name}", f"{signing}.{b64(hmac.digest(secret, signing.encode(), digest))}"


def _wrong_keys(true: Keyring) -> Corpus:
    attacker = Keyring()
    for kid in ("ec", "rsa", "ed"):
        yield f"another's {kid} key", attacker.token(kid=kid)
    for mine, theirs, alg in (
        (true.rsa, "ec", "RS256"),
        (true.rsa, "rsa", "PS256"),
        (true.rsa, "rsa", "RS384"),
        (true.rsa, "rsa", "RS512"),
        (true.rsa, "ed", "RS256"),
        (true.rsa, "enc", "RS256"),
        (true.ec, "rsa", "ES256"),
        (true.ec, "ed", "ES256"),
        (true.ed, "ec", "EdDSA"),
        (true.ed, "rsa", "EdDSA"),
        (true.for_encryption, "enc", "RS256"),
        (true.for_encryption, "rsa", "RS256"),
    ):
        named = jwt.encode(true.claims(), mine, alg, {"kid": theirs})
        yield f"{alg} under the name {theirs}", named
    for curve, alg in ((ec.SECP384R1(), "ES384"), (ec.SECP521R1(), "ES512"), (ec.SECP256K1(), "ES256K")):
        yield f"curve of {alg}", jwt.encode(true.claims(), ec.generate_private_key(curve), alg, {"kid": "ec"})
    signing = f"{b64(as_json({'alg': 'RS256', 'kid': 'rsa'}))}.{b64(as_json(true.claims()))}"
    pss = true.rsa.sign(signing.encode(), padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    yield "a PS256 signature called RS256", f"{signing}.{b64(pss)}"
    weak = true.rsa.sign(signing.encode(), padding.PKCS1v15(), hashes.SHA1())
    yield "an RS1 signature called RS256", f"{signing}.{b64(weak)}"
    for alg in ("ES256 ", "es256", "Es256", "ES512", "EdDSA", "Ed25519", "RS256", "SHA256withECDSA"):
        yield f"alg {alg!r} over an ES256 signature", true.written({"alg": alg, "kid": "ec"}, true.claims())


def _strange_signatures(true: Keyring) -> Corpus:
    signing = true.token().rpartition(".")[0]
    signature = true.signature(signing)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    zero, n, one = bytes(32), ORDER_P256.to_bytes(32, "big"), (1).to_bytes(32, "big")
    for name, raw in {
        "DER": encode_dss_signature(r, s),
        "r and s 0": zero + zero,
        "r 0": zero + signature[32:],
        "s 0": signature[:32] + zero,
        "r and s n": n + n,
        "r 1, s n": one + n,
        "all ones": b"\xff" * 64,
        "too short": signature[:63],
        "too long": signature + b"\0",
        "twice": signature * 2,
        "the halves exchanged": signature[32:] + signature[:32],
        "of a P-521 size": signature[:32].rjust(66, b"\0") + signature[32:].rjust(66, b"\0"),
    }.items():
        yield f"signature: {name}", f"{signing}.{b64(raw)}"
    for kid in ("rsa", "ed"):
        head, _, good = true.token(kid=kid).rpartition(".")
        size = len(unb64(good))
        for name, raw in {"zeros": bytes(size), "ones": b"\xff" * size, "one byte": b"\0"}.items():
            yield f"{kid} signature: {name}", f"{head}.{b64(raw)}"
    other = true.token("bob").split(".")
    mine = true.token().split(".")
    yield "another token's claims", f"{mine[0]}.{other[1]}.{mine[2]}"
    yield "another token's header", f"{true.token(kid='ed').split('.')[0]}.{mine[1]}.{mine[2]}"


def flipped(token: str) -> Corpus:
    """A bit of every byte of the signature, and of every character of the rest."""
    head, _, signature = token.rpartition(".")
    raw = unb64(signature)
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1 << (at % 8)
        yield f"signature byte {at}", f"{head}.{b64(bytes(changed))}"
    for at, char in enumerate(head):
        if char != ".":
            yield f"character {at}", f"{head[:at]}{'A' if char != 'A' else 'B'}{head[at + 1 :]}.{signature}"


def _kid_tricks(true: Keyring) -> Corpus:
    for kid in (
        "../../../../dev/null",
        "/dev/null",
        "file:///etc/passwd",
        "ec' OR '1'='1",
        "x' UNION SELECT 'secret';--",
        "|/usr/bin/id",
        "ec\0",
        "ec\n",
        "ec ",
        "EC",
        "\ufeffec",
        "\u200bec",
        "",
        "unknown",
        "None",
        "*",
        "0",
        "e" * 8000,
        None,
        0,
        1e300,
        True,
        [],
        ["ec"],
        {"ec": "ec"},
    ):
        yield f"kid {str(kid)[:30]!r}", true.written({"alg": "ES256", "kid": kid}, true.claims())
    yield "no kid, where the issuer has several keys", true.written({"alg": "ES256"}, true.claims())
    empty = f"{b64(as_json({'alg': 'HS256', 'kid': '/dev/null'}))}.{b64(as_json(true.claims()))}"
    yield "HS256 with an empty file", f"{empty}.{b64(hmac.digest(b'', empty.encode(), 'sha256'))}"


def _keys_brought_along(true: Keyring, attacker_url: str) -> Corpus:
    attacker = Keyring()
    own = attacker.jwks()["keys"][0]
    places: dict[str, dict[str, Any]] = {
        "jku": {"jku": f"{attacker_url}/jku"},
        "jku after an @": {"jku": f"{ISSUER}@{attacker_url.removeprefix('http://')}/jku"},
        "x5u": {"x5u": f"{attacker_url}/x5u"},
        "x5c": {"x5c": [base64.b64encode(b"no certificate").decode()]},
        "jwk": {"jwk": own},
        "all": {"jku": f"{attacker_url}/jku", "x5u": f"{attacker_url}/x5u", "jwk": own, "iss": attacker_url},
        "a list": {"jku": [f"{attacker_url}/jku"]},
    }
    for name, more in places.items():
        for kid in ("ec", "theirs"):
            yield f"{name}, kid {kid}", attacker.written({"alg": "ES256", "kid": kid} | more, true.claims())


def _extensions(true: Keyring) -> Corpus:
    extensions: dict[str, dict[str, Any]] = {
        "crit": {"crit": ["exp"], "exp": 1},
        "crit, empty": {"crit": []},
        "crit, null": {"crit": None},
        "b64 false": {"b64": False, "crit": ["b64"]},
        "b64 true": {"b64": True},
        "zip": {"zip": "DEF"},
        "cty": {"cty": "JWT"},
        "cty in another spelling": {"cty": "application/jwt"},
        "cty, a list": {"cty": ["JWT"]},
        "enc": {"enc": "A256GCM"},
    }
    for name, more in extensions.items():
        yield name, true.written({"alg": "ES256", "kid": "ec"} | more, true.claims())
    header = {"alg": "ES256", "kid": "ec"}
    deflated = zlib.compress(as_json(true.claims()))[2:-4]
    yield "zip, deflated", true.written(header | {"zip": "DEF"}, deflated)
    yield "deflated and not said", true.written(header, deflated)
    yield "a token in a token", true.written(header, true.token().encode())
    yield "a token in a token, said", true.written(header | {"cty": "JWT"}, true.token().encode())
    parts = true.token().split(".")
    yield "five parts", ".".join([*parts, "AAAA", "AAAA"])
    jwe = {"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "enc"}
    yield "a JWE", ".".join([b64(as_json(jwe)), *[b64(bytes(16))] * 4])
    yield "a JWE of alg dir", ".".join([b64(as_json(jwe | {"alg": "dir"})), "", *[b64(bytes(16))] * 3])
    flattened = {"protected": parts[0], "payload": parts[1], "signature": parts[2]}
    yield "JSON serialization", b64(as_json(flattened))
    yield "JSON serialization, plain", as_json(flattened).decode()


def _written_in_another_way(true: Keyring) -> Corpus:
    good = true.token()
    head, claims, signature = good.split(".")
    yield "padded", f"{head}.{claims}.{signature}=="
    yield "padded header", f"{head}={'=' * (-len(head) % 4)}.{claims}.{signature}"
    yield "plain base64", f"{head}.{claims}.{base64.b64encode(b'?>' * 32).decode().rstrip('=')}"
    yield "non-canonical end", f"{head}.{claims}.{signature[:-1]}{_next(signature[-1])}"
    for name, char in {"space": " ", "tab": "\t", "dot": ".", "comma": ",", "nul": "%00", "é": "é"}.items():
        yield f"{name} within", good[:40] + char + good[40:]
        yield f"{name} before a dot", good.replace(".", char + ".", 1)
        yield f"{name} doubled tokens", good + char + good
    for one in ("a", "a.b", "a.b.c", "..", "...", "-.-.-", "null", "undefined", "{}", "e30.e30.e30", "A" * 100):
        yield f"no token: {one[:12]}", one
    yield "quoted", f'"{good}"'
    yield "too long", true.written({"alg": "ES256", "kid": "ec"}, true.claims(more="x" * 13_000))
    yield "a line's end in base64", f"{head}.{claims}.{signature[:20]}%0a{signature[20:]}"
    as_is = {"alg": "ES256", "kid": "ec"}
    known = as_json(true.claims())
    for name, header in {
        "header: twins": b'{"alg":"ES256","alg":"ES256","kid":"ec"}',
        "header: twins of another meaning": b'{"alg":"none","kid":"ec","alg":"ES256"}',
        "header: twin kids": b'{"alg":"ES256","kid":"no","kid":"ec"}',
        "header: a twin in escapes": b'{"alg":"none","\\u0061lg":"ES256","kid":"ec"}',
        "header: UTF-16": json.dumps(as_is).encode("utf-16"),
        "header: byte order mark": b"\xef\xbb\xbf" + as_json(as_is),
        "header: not UTF-8": b'{"alg":"ES256","kid":"ec","x":"\xff"}',
        "header: NaN": b'{"alg":"ES256","kid":"ec","x":NaN}',
        "header: deep": b'{"alg":"ES256","kid":"ec","x":' + b"[" * 1000 + b"]" * 1000 + b"}",
        "header: deeper": b'{"alg":"ES256","kid":"ec","x":' + b'{"a":' * 1500 + b"1" + b"}" * 1500 + b"}",
        "header: a list": b'["ES256"]',
        "header: text": b'"ES256"',
        "header: more behind": as_json(as_is) + b"{}",
        "header: a comment": b'{"alg":"ES256",/**/"kid":"ec"}',
        "header: a long number": b'{"alg":"ES256","kid":"ec","x":' + b"9" * 5000 + b"}",
        "header: a lone surrogate": b'{"alg":"ES256","kid":"ec","x":"\\ud800"}',
    }.items():
        yield name, true.written(header, known)
    inside = known[1:-1]
    for name, body in {
        "claims: twins": b'{"sub":"bob",' + inside + b"}",
        "claims: twin exp": b"{" + inside + b',"exp":9999999999}',
        "claims: twins within": b"{" + inside + b',"x":{"a":1,"a":2}}',
        "claims: UTF-16": json.dumps(true.claims()).encode("utf-16"),
        "claims: byte order mark": b"\xef\xbb\xbf" + known,
        "claims: not UTF-8": b"{" + inside + b',"x":"\xff"}',
        "claims: a list": b"[" + known + b"]",
        "claims: text": b'"alice"',
        "claims: null": b"null",
        "claims: deep": b"{" + inside + b',"x":' + b"[" * 1000 + b"]" * 1000 + b"}",
        "claims: cut": known[:-1],
    }.items():
        yield name, true.written(as_is, body)


def _next(char: str) -> str:
    """The same leading bits, and others where padding would be."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(char) ^ 1]


def _bad_claims(true: Keyring) -> Corpus:
    header, now = {"alg": "ES256", "kid": "ec"}, int(time.time())
    mistyped = ["", "soon", str(now + 3600), True, False, None, [], [now + 3600], {"a": 1}, -1, 1e300, 1 << 63, 10**400]
    for name in ("exp", "nbf", "iat"):
        for value in [*mistyped, (now + 3600) * 1000]:
            yield f"{name} {str(value)[:24]}", true.written(header, true.claims(**{name: value}))
        for raw in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"0x7fffffff", b"01", b"1_000", b"+1"):
            inside = as_json(true.claims(**{name: ...}))[1:-1]
            yield (
                f"{name} {raw.decode()}",
                true.written(header, b'{"' + name.encode() + b'":' + raw + b"," + inside + b"}"),
            )
    for name in ("exp", "iss", "aud", "sub"):
        yield f"no {name}", true.written(header, true.claims(**{name: ...}))
    for value in (0, now - 3600, now - 90):
        yield f"exp {value}, over", true.written(header, true.claims(exp=value))
    for name in ("nbf", "iat"):
        yield f"{name} to come", true.written(header, true.claims(**{name: now + 120}))
    others: list[Any] = ["", ISSUER + "/", ISSUER.upper(), ISSUER + "\0", " " + ISSUER, ISSUER + ".evil", None, 1, []]
    for issuer in others:
        yield f"iss {issuer!r}", true.written(header, true.claims(iss=issuer))
    yield "iss in a list", true.written(header, true.claims(iss=[ISSUER]))
    ours = true.audience
    for audience in ("", "another", ours + "/", ours.upper(), ours[:-1], None, 1, True, [], ["another"], {ours: ours}):
        yield f"aud {audience!r}", true.written(header, true.claims(aud=audience))
    for mixed in ([ours, 1], [None, ours], [[ours]], [{"a": ours}]):
        yield f"aud {mixed!r}", true.written(header, true.claims(aud=mixed))
    subjects = ["", None, 0, 5, True, [], ["alice"], {"a": 1}, "a" * 1025, "a\0", "a\nb", "a\r\nX: y", "\x7f", "\x85"]
    for subject in [*subjects, "a\ud800", "\udfff"]:
        yield f"sub {str(subject)[:12]!r}", true.written(header, true.claims(sub=subject))
    yield "jti that is a number", true.written(header, true.claims(jti=5))
    yield "no claims", true.written(header, {})


class KeySite:
    """Serves a key set as a test wants it: changed, broken, slow, never."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []
        self.cookies: list[str | None] = []
        self.answered = 0
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        self.cookies.append(request.headers.get("Cookie"))
        await self.hangs.wait()
        self.answered += 1
        response = web.Response(
            status=self.status, body=self.body, headers={"Content-Type": "application/json", **self.headers}
        )
        response.force_close()
        return response


@asynccontextmanager
async def key_site(body: bytes) -> AsyncIterator[KeySite]:
    site, application = KeySite(body), web.Application()
    application.router.add_get("/{rest:.*}", site.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield site
    finally:
        site.hangs.set()
        await runner.cleanup()
