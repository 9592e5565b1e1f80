"""Fixtures of tests that take a part's steps one by one."""

import pytest
from redis.asyncio import Redis

from app.jobs.record import Records
from app.queue.flows import Flows
from app.settings import Settings
from tests.integration.test_admin import admin  # noqa: F401 - for all of them


@pytest.fixture
async def flows(queue: Redis, settings: Settings) -> Flows:
    flows = Flows(queue, settings)
    await flows.prepare()
    return flows


@pytest.fixture
def records(queue: Redis, settings: Settings) -> Records:
    return Records(queue, settings)
