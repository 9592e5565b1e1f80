"""The dashboard of a running system, for the tests that drive its pages in Chromium."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.support.issuer import Issuer
from tests.support.oidc_issuer import OidcIssuer
from tests.support.ports import free_port
from tests.support.system import Answer, Part, System, running

PAGES = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.xdist_group("dashboard")]
"""The marks of every file in tests/e2e/dashboard: all of its tests share one system and one browser."""

ROLES = ("viewer", "operator", "admin")


@dataclass
class Dashboard:
    """One system with its admin process, whose operators may sign in at `oidc`.

    `base_path`: the path below which a proxy at `port` has the admin process.
    """

    system: System
    oidc: OidcIssuer
    port: int = field(default_factory=free_port)
    admin: Part | None = None
    base_path: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base_path}"

    def token(self, role: str, name: str = "") -> str:
        """A token of an operator, who is called as the role unless a name is given."""
        return self.system.issuer.token(name or role, aud="penstock-admin", penstock_role=role)

    async def start_admin(self) -> None:
        self.admin = self.system.spawn("admin", "--port", str(self.port))
        await self.system.ready(self.admin)

    def stop_admin(self) -> None:
        """End the admin process, as when it is upgraded."""
        assert self.admin is not None
        self.admin.end()
        self.system.parts.remove(self.admin)
        self.admin = None

    async def api(self, method: str, path: str, body: object = None, role: str = "admin", **headers: str) -> Answer:
        """Call the REST API, as another operator would meanwhile."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named |= {"Authorization": f"Bearer {self.token(role)}"}
        async with self.system.http.request(method, self.url + path, json=body, headers=named) as response:
            return Answer(response.status, response.headers, await response.read())

    async def ticket_link(self, role: str, path: str = "/") -> str:
        """An address that signs in once."""
        made = await self.api("POST", "/v1/sign-in/tickets", role=role)
        assert made.status == 201, made.body
        return f"{self.url}{path}#ticket={made.json()['ticket']}"

    def session(self, role: str) -> str:
        """What the dashboard keeps in `sessionStorage` while an operator is signed in."""
        return json.dumps({"token": self.token(role), "name": role, "role": role, "expiresAt": None})


@asynccontextmanager
async def dashboard_running(settings: Settings, log_dir: Path) -> AsyncIterator[Dashboard]:
    """A system with one of each process, and an issuer of OpenID Connect."""
    signer = Issuer()
    oidc = OidcIssuer(signer)
    options: dict[str, Any] = {f"PENSTOCK_{name.upper()}": value for name, value in oidc.settings().items()}
    options |= {"PENSTOCK_RETRY_BASE_S": "0.1", "PENSTOCK_BAD_TOKENS_PER_MINUTE": "100000"}
    try:
        async with running(settings, log_dir, issuer=signer, **options) as system:
            dashboard = Dashboard(system, oidc)
            await dashboard.start_admin()
            yield dashboard
    finally:
        oidc.close()
