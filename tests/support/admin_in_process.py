"""The admin API in the test's own process, on real stores, as one operator uses it."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from redis.asyncio import Redis

from app.admin.composition import AdminParts, AdminStores, admin_parts_of
from app.admin.rest.application import build_admin
from app.clients import MongoClient, MongoDatabase, http_client, mongo_client
from app.identity.tokens import TokenVerifier
from app.process.lifecycle import cancel
from app.redis_wire.scripts import Scripts
from app.rules.cache import RuleCache
from app.settings import Settings
from tests.support.issuer import Issuer


class Admin:
    """The admin API as one operator uses it."""

    def __init__(self, client: httpx.AsyncClient, issuer: Issuer, rules: Any, parts: AdminParts) -> None:  # noqa: ANN401
        self.client, self.issuer, self.rules, self.parts = client, issuer, rules, parts

    def token(self, role: str) -> str:
        return self.issuer.token("ops", aud="penstock-admin", penstock_role=role)

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        role: str | None = "admin",
        content: bytes | None = None,
        **headers: str,
    ) -> httpx.Response:
        if role is not None:
            headers |= {"Authorization": f"Bearer {self.token(role)}"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if content is None:
            return await self.client.request(method, path, json=body, headers=named)
        return await self.client.request(
            method, path, content=content, headers={"Content-Type": "application/json"} | named
        )


def admin_parts_on(
    database: MongoDatabase,
    session: httpx.AsyncClient,
    cache: Redis,
    queue: Redis,
    counting: Scripts,
    queueing: Scripts,
    settings: Settings,
) -> AdminParts:
    """The parts of an admin API on these stores."""
    verifier = TokenVerifier(settings, session, settings.admin_audience)
    stores = AdminStores(database, cache, queue, counting, queueing)
    closing = asyncio.Event()
    closing.set()  # an answer without an end has one event then, because this client reads answers as a whole
    return admin_parts_of(settings, stores, RuleCache(cache, settings), verifier, session, closing)


_IDLE_APPLICATIONS: dict[str, list[FastAPI]] = defaultdict(list)
"""Applications that no test uses now, by base path. Preparing the routes of a new one takes longer than most tests."""


def _application(parts: AdminParts) -> FastAPI:
    """Return an application with these parts, which no other test uses."""
    idle = _IDLE_APPLICATIONS[parts.base_path]
    application = idle.pop() if idle else build_admin(parts)
    application.state.parts = parts
    return application


@asynccontextmanager
async def admin_running(
    mongod: str | MongoClient,
    cache: Redis,
    queue: Redis,
    counting: Scripts,
    queueing: Scripts,
    **changed: Any,  # noqa: ANN401
) -> AsyncIterator[Admin]:
    issuer = changed.pop("issuer", None) or Issuer()
    settings = Settings(jwks_url=issuer.url, jwt_issuer="test", **changed)
    mongo = mongo_client(mongod) if isinstance(mongod, str) else mongod
    database = mongo[f"test_{uuid.uuid4().hex[:12]}"]
    async with http_client() as session:
        parts = admin_parts_on(database, session, cache, queue, counting, queueing, settings)
        looking = asyncio.create_task(parts.flows.run())
        app = _application(parts)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
            yield Admin(client, issuer, database["rules"], parts)
        await cancel({looking})
        _IDLE_APPLICATIONS[settings.admin_base_path].append(app)
    mongo.close()
    issuer.close()
