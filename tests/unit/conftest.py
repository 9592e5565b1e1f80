"""Fixtures of the tests that hold Lua scripts against a model, and of those that run commands."""

import io
import os
from collections.abc import Iterator
from functools import cache

import pytest
import redis
import typer.main

from tests.support.fake_admin import FakeAdmin


@pytest.fixture
def redis_client(cache_redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(cache_redis_url)
    yield client
    client.close()


@pytest.fixture(scope="module")
def fake_admin() -> Iterator[FakeAdmin]:
    """An admin API that commands find by the environment. They have no terminal, and an editor that changes nothing."""
    admin = FakeAdmin()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
            patch.delenv(name)
        patch.setenv("PENSTOCK_ADMIN_URL", admin.url)
        patch.setenv("PENSTOCK_ADMIN_TOKEN", "token")
        patch.setenv("VISUAL", "true")
        patch.setattr("sys.stdin", io.StringIO())
        patch.setattr("typer.main.get_command", cache(typer.main.get_command))  # it takes longer than most commands
        yield admin
    admin.close()
