"""Real stores for all tests: one mongod and two redis-servers a session, empty for each test."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.clients import cache_redis, counter_scripts, queue_redis, queue_scripts
from app.local.stores import cache_store, mongodb_is_ready, queue_store, redis_is_ready, rules_store
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.broker import own_broker, skip_unless_kafka, with_kafka
from tests.support.ports import free_port
from tests.support.stores import emptied, started


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """aiokafka leaves its connections to the collector where it is cancelled while it makes them."""
    left = "ignore:Exception ignored in. <(socket.socket|function _SelectorTransport)"
    for item in items:
        if "kafka" in str(item.path):
            item.add_marker(pytest.mark.filterwarnings(f"{left}:pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="session")
def session_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="session")
def mongod_url(session_dir: Path) -> Iterator[str]:
    port = free_port()
    store = rules_store(session_dir / "mongodb", port, "enableTestCommands=1")
    with started(store, session_dir / "mongodb.log"):
        asyncio.run(mongodb_is_ready(port))
        yield store.url


@pytest.fixture(scope="session")
def cache_url(session_dir: Path) -> Iterator[str]:
    store = cache_store(session_dir / "cache", free_port())
    with started(store, session_dir / "cache.log"):
        asyncio.run(redis_is_ready(store.url))
        yield store.url


@pytest.fixture(scope="session")
def queue_url(session_dir: Path) -> Iterator[str]:
    store = queue_store(session_dir / "queue", free_port())
    with started(store, session_dir / "queue.log"):
        asyncio.run(redis_is_ready(store.url))
        yield store.url


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One broker a session; tests have topics of their own."""
    skip_unless_kafka()
    given = os.environ.get("PENSTOCK_KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    with own_broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.bootstrap


@pytest.fixture
def kafka_settings(settings: Settings, kafka_bootstrap: str) -> Settings:
    """Settings of real, empty stores, and of topics that are not there yet."""
    return with_kafka(settings, kafka_bootstrap)


@pytest.fixture
def cache_redis_url(cache_url: str) -> str:
    """The cache Redis, emptied."""
    return emptied(cache_url)


@pytest.fixture
def queue_redis_url(queue_url: str) -> str:
    """The queue Redis, emptied."""
    return emptied(queue_url)


@pytest.fixture(scope="module")
def module_settings(mongod_url: str, cache_url: str, queue_url: str) -> Settings:
    """Settings of real stores, empty when the module begins, for a system that all of its tests share."""
    return Settings(
        mongodb_url=mongod_url,
        mongodb_database=f"test_{uuid.uuid4().hex[:12]}",
        cache_redis_url=emptied(cache_url),
        queue_redis_url=emptied(queue_url),
    )


@pytest.fixture
def settings(mongod_url: str, cache_redis_url: str, queue_redis_url: str) -> Settings:
    """Settings of real, empty stores."""
    return Settings(
        mongodb_url=mongod_url,
        mongodb_database=f"test_{uuid.uuid4().hex[:12]}",
        cache_redis_url=cache_redis_url,
        queue_redis_url=queue_redis_url,
    )


@pytest.fixture
async def cache(settings: Settings) -> AsyncIterator[Redis]:
    client = cache_redis(settings)
    yield client
    await client.aclose()


@pytest.fixture
async def queue(settings: Settings) -> AsyncIterator[Redis]:
    client = queue_redis(settings)
    yield client
    await client.aclose()


@pytest.fixture
async def counting(settings: Settings) -> AsyncIterator[Scripts]:
    """The limiter's scripts on the cache Redis; generous, for what is not about deadlines."""
    scripts = counter_scripts(settings, 5000)
    yield scripts
    await scripts.aclose()


@pytest.fixture
async def queueing(settings: Settings) -> AsyncIterator[Scripts]:
    """The jobs' scripts on the queue Redis."""
    scripts = queue_scripts(settings)
    yield scripts
    await scripts.aclose()


@pytest.fixture(name="free_port")
def free_port_fixture() -> Callable[[], int]:
    return free_port
