"""Fixtures of tests that take a part's steps one by one."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.queue.flows import Flows
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.admin_in_process import Admin, admin_running
from tests.support.operations import OperatedInstallation, operated_installation
from tests.support.stores import without_rewrites


@pytest.fixture
async def flows(queue: Redis, queueing: Scripts, settings: Settings) -> Flows:
    flows = Flows(queue, queueing, settings)
    await flows.prepare()
    return flows


@pytest.fixture
async def steady_memory(queue: Redis) -> AsyncIterator[None]:
    """The memory of the queue Redis changes by what the test does, and by nothing else."""
    async with without_rewrites(queue):
        yield


@pytest.fixture
def records(queue: Redis, queueing: Scripts, settings: Settings) -> Records:
    return Records(queue, queueing, settings)


@pytest.fixture
async def admin(
    settings: Settings,
    cache: Redis,
    queue: Redis,
    counting: Scripts,
    queueing: Scripts,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Admin]:
    """An admin API whose overview of flows is never one of before the last step of a test."""
    monkeypatch.setattr("app.admin.services.flow_index.WAIT_FOR_FRESH_S", 30.0)
    async with admin_running(settings.mongodb_url, cache, queue, counting, queueing) as admin:
        yield admin


@pytest.fixture
async def installation(
    settings: Settings, cache: Redis, queue: Redis, queueing: Scripts, flows: Flows
) -> AsyncIterator[OperatedInstallation]:
    async with operated_installation(settings, cache, queue, queueing) as installation:
        yield installation
