"""A small OpenID Connect issuer: the authorization code flow with PKCE, for one operator who is always signed in."""

import base64
import hashlib
import http.server
import json
import secrets
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.support.issuer import POLL_INTERVAL_S, Issuer

CONFIGURATION = "/.well-known/openid-configuration"


@dataclass
class OidcIssuer:
    """Signs the tokens of `signer`, whose keys the admin process knows. Tests change what it does by its attributes."""

    signer: Issuer
    client_id: str = "dashboard"
    secret: str | None = None
    subject: str = "olga"
    access_claims: dict[str, Any] = field(
        default_factory=lambda: {"aud": "penstock-admin", "penstock_role": "operator"}
    )
    """What the access token says beside the subject. Without any, it is no JWT."""
    changed: dict[str, Any] = field(default_factory=dict)
    """Members of the configuration that differ."""
    token_answer: tuple[int, bytes] | None = None
    """What the token endpoint answers instead."""
    asked: list[str] = field(default_factory=list)
    """The paths of all requests."""
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(urlsplit(self.path).path)
                if self.path == CONFIGURATION:
                    self._answer(200, json.dumps(issuer.configuration()).encode())
                elif self.path.startswith("/authorize?"):
                    self.send_response(303)
                    self.send_header("Location", issuer.authorize(dict(parse_qsl(urlsplit(self.path).query))))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    self._answer(404, b"{}")

            def do_POST(self) -> None:
                issuer.asked.append(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = dict(parse_qsl(body, strict_parsing=True))
                self._answer(*(issuer.token_answer or issuer.redeem(form, self.headers.get("Authorization"))))

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(POLL_INTERVAL_S,), daemon=True).start()

    def settings(self) -> dict[str, str]:
        """The settings of an admin process by which operators sign in here."""
        return {"admin_oidc_issuer": self.url, "admin_oidc_client_id": self.client_id}

    def configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
        } | self.changed

    def authorize(self, query: dict[str, str]) -> str:
        """Return where the browser goes with its code."""
        assert query["response_type"] == "code"
        assert query["client_id"] == self.client_id
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query.get('state', '')})}"

    def redeem(self, form: dict[str, str], authorization: str | None) -> tuple[int, bytes]:
        """Answer the token endpoint."""
        if self.secret is not None and authorization != self._basic() and form.get("client_secret") != self.secret:
            return 401, b'{"error": "invalid_client"}'
        asked = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        given = {"code_challenge": challenge, "redirect_uri": form["redirect_uri"], "client_id": form["client_id"]}
        if asked is None or not given.items() <= asked.items():
            return 400, b'{"error": "invalid_grant", "error_description": "<b>no</b>"}'
        access = self.signer.token(self.subject, **self.access_claims) if self.access_claims else "opaque"
        tokens = {"access_token": access, "id_token": self.signer.token(self.subject, aud=self.client_id)}
        return 200, json.dumps(tokens | {"token_type": "Bearer", "expires_in": 3600}).encode()

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
