"""An issuer of tokens: it signs them, and serves its keys."""

import http.server
import json
import threading
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

POLL_INTERVAL_S = 0.02
"""How often the thread looks whether it shall end: `close()` waits for that, and nearly every test closes one."""


class Issuer:
    """Signs tokens and serves its JWKS from a thread."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        jwk = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True) | {"kid": "k1", "alg": "ES256", "use": "sig"}
        body = json.dumps({"keys": [jwk]}).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/jwks.json"
        threading.Thread(target=self._server.serve_forever, args=(POLL_INTERVAL_S,), daemon=True).start()

    def token(self, subject: str, **claims: Any) -> str:  # noqa: ANN401
        now = int(time.time())
        payload = {"iss": "test", "aud": "penstock", "sub": subject, "iat": now, "exp": now + 3600} | claims
        return jwt.encode(payload, self._key, "ES256", {"kid": "k1"})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
