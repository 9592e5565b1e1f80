"""Fixtures of tests that take a part's steps one by one."""

import pytest
from redis.asyncio import Redis

from app.queue.flows import Flows
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.integration.test_admin import admin  # noqa: F401 - for all of them


@pytest.fixture
async def flows(queue: Redis, queueing: Scripts, settings: Settings) -> Flows:
    flows = Flows(queue, queueing, settings)
    await flows.prepare()
    return flows


@pytest.fixture
def records(queue: Redis, queueing: Scripts, settings: Settings) -> Records:
    return Records(queue, queueing, settings)
