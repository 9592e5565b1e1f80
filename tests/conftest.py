"""Real stores for all tests, empty for each of them: one mongod and two redis-servers for each test process."""

import asyncio
import gc
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache as remembered
from pathlib import Path

import pytest
import redis.utils
from redis.asyncio import Redis

from app.clients import cache_redis, counter_scripts, queue_redis, queue_scripts
from app.local.stores import cache_store, mongodb_is_ready, queue_store, redis_is_ready, rules_store
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.authority import Authority
from tests.support.broker import end_shared_broker, shared_broker, skip_unless_kafka, with_kafka
from tests.support.collection import PHASES, has_nothing_to_run, mark_fast, mark_kafka, order_by_length, select_phase
from tests.support.examples import load_profile
from tests.support.ports import free_port
from tests.support.report import PhaseReport
from tests.support.stores import emptied, quick_folder, started

RUN_FOLDER = "PENSTOCK_TEST_RUN_FOLDER"
TESTS = Path(__file__).parent
PATIENT_MS = 10_000.0
"""How long the clients of fixtures wait for a Redis: a busy machine is no store that is away."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="write those of the dashboard into docs/images")
    parser.addoption("--phase", choices=PHASES, help="only the tests that may run beside others, or those that may not")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder that all processes of this run share, unless this is a worker of pytest-xdist."""
    load_profile()
    # httpcore looks for this library at each request, and Python looks in all folders each time for what is not there.
    sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]  # None makes the import fail at once
    if not is_xdist_worker(config):
        folder = Path(tempfile.mkdtemp(prefix="penstock-test-run-"))
        os.environ[RUN_FOLDER] = str(folder)
        # Several of a machine's tests run an admin process at once; those of gRPC say which port it takes.
        os.environ["PENSTOCK_ADMIN_GRPC_PORT"] = "0"
        # Loading all authorities of the machine takes longer than most tests, and tests reach no server of theirs.
        os.environ["SSL_CERT_FILE"] = str(Authority(folder, "no-server").file)
        if report := os.environ.get("PENSTOCK_TEST_REPORT"):
            config.pluginmanager.register(PhaseReport(Path(report), config.getoption("--phase") or "whole"))


def pytest_unconfigure(config: pytest.Config) -> None:
    if not is_xdist_worker(config):
        folder = Path(os.environ.pop(RUN_FOLDER))
        end_shared_broker(folder)
        shutil.rmtree(folder, ignore_errors=True)


def is_xdist_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    phase, marks = config.getoption("--phase"), config.getoption("markexpr")
    return True if has_nothing_to_run(collection_path, TESTS, phase, marks) else None


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    mark_kafka(items)
    mark_fast(items, TESTS)
    order_by_length(items, TESTS)
    select_phase(config, items)


def pytest_collection_finish() -> None:
    """Let collections of garbage look only at what tests make, and not at all that was imported and collected."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def redis_version_is_read_once() -> Iterator[None]:
    """redis-py parses the metadata of its package for each connection, and every test makes some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("redis.utils.get_lib_version", remembered(redis.utils.get_lib_version))
        yield


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
    with quick_folder(session_dir / "queue") as folder:
        store = queue_store(folder, free_port())
        with started(store, session_dir / "queue.log"):
            asyncio.run(redis_is_ready(store.url))
            yield store.url


@pytest.fixture(scope="session")
def kafka_bootstrap() -> str:
    """One broker for all processes of a run; tests have topics of their own."""
    skip_unless_kafka()
    return os.environ.get("PENSTOCK_KAFKA_BOOTSTRAP") or shared_broker(Path(os.environ[RUN_FOLDER]))


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


@pytest.fixture(scope="session")
def store_settings(mongod_url: str, cache_url: str, queue_url: str) -> Settings:
    """Settings of the stores of this process."""
    return Settings(mongodb_url=mongod_url, cache_redis_url=cache_url, queue_redis_url=queue_url, identity="off")


@pytest.fixture(scope="module")
def module_settings(store_settings: Settings) -> Settings:
    """Settings of real stores, empty when the module begins, for a system that all of its tests share."""
    urls = {name: emptied(getattr(store_settings, name)) for name in ("cache_redis_url", "queue_redis_url")}
    return _with_own_database(store_settings, **urls)


@pytest.fixture
def settings(store_settings: Settings, cache_redis_url: str, queue_redis_url: str) -> Settings:
    """Settings of real, empty stores."""
    return _with_own_database(store_settings, cache_redis_url=cache_redis_url, queue_redis_url=queue_redis_url)


def _with_own_database(settings: Settings, **urls: str) -> Settings:
    return settings.model_copy(update={"mongodb_database": f"test_{uuid.uuid4().hex[:12]}"} | urls)


@pytest.fixture
async def cache(settings: Settings) -> AsyncIterator[Redis]:
    client = cache_redis(settings.model_copy(update={"cache_timeout_ms": PATIENT_MS}))
    yield client
    await client.aclose()


@pytest.fixture
async def queue(settings: Settings) -> AsyncIterator[Redis]:
    client = queue_redis(settings.model_copy(update={"queue_timeout_ms": PATIENT_MS}))
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
