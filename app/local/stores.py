"""The stores on one machine: the command that starts each, and a check that it is ready."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from pymongo.errors import OperationFailure, PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from app.clients import MongoClient, mongo_client
from app.errors import StartupError
from app.local import binaries
from app.local.ports import HOST
from app.local.store_password import write_private

NOT_YET_INITIALIZED = 94
START_TIMEOUT_S = 60.0
QUEUE_MEMORY = "2gb"
SHORT_SCANS = (
    "--stream-node-max-entries", "10", "--zset-max-ziplist-entries", "32", "--hash-max-ziplist-entries", "32",
)  # fmt: skip
"""Redis scans a node of a stream, a small sorted set and a small hash from its beginning. These limits keep such scans
short; they cost a job at most 200 bytes."""

TRANSACTION_LIFETIME_S = 20
"""How long MongoDB holds what a transaction has written, for example for a process that was killed meanwhile."""

COMPRESSORS = ("--networkMessageCompressors", "snappy,zstd")
"""Without zlib, with which older versions of MongoDB leak memory to anybody who can connect (CVE-2025-14847)."""

KAFKA = Path(__file__).parents[2] / "scripts" / "kafka"


@dataclass(frozen=True, slots=True)
class StoreProcess:
    """A store process: its command, and the URL at which it will listen."""

    command: tuple[str, ...]
    url: str = field(repr=False)


def cache_store(folder: Path, port: int, password: str = "") -> StoreProcess:
    """The cache Redis. Its rules and counters may be lost, so it writes nothing to disk."""
    return _redis(folder, port, ("--save", "", "--appendonly", "no"), password)


def queue_store(folder: Path, port: int, password: str = "") -> StoreProcess:
    """The queue Redis. Every write is on disk before it is acknowledged."""
    durable = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
    return _redis(folder, port, (*durable, *SHORT_SCANS, "--maxmemory", QUEUE_MEMORY), password)


def _redis(folder: Path, port: int, durability: Sequence[str], password: str) -> StoreProcess:
    """A Redis that asks for the password, unless that is empty. It is in a file, so that `ps` does not show it."""
    folder.mkdir(parents=True, exist_ok=True)
    config: tuple[str, ...] = ()
    if password:
        config = (str(folder.resolve() / "redis.conf"),)
        write_private(Path(config[0]), f"requirepass {password}\n")
    place = ("--bind", HOST, "--port", str(port), "--dir", str(folder.resolve()))
    command = (str(binaries.redis_server()), *config, *place, *durability, "--maxmemory-policy", "noeviction")
    return StoreProcess(command, f"redis://{f':{password}@' if password else ''}{HOST}:{port}/0")


def rules_store(folder: Path, port: int, *parameters: str) -> StoreProcess:
    """MongoDB as a replica set of one member, because change streams need a replica set."""
    folder.mkdir(parents=True, exist_ok=True)
    place = ("--bind_ip", HOST, "--port", str(port), "--dbpath", str(folder.resolve()), "--nounixsocket", *COMPRESSORS)
    sizes = ("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "256")
    settings = ("shutdownTimeoutMillisForSignaledShutdown=100", "diagnosticDataCollectionEnabled=false")
    lifetime = f"transactionLifetimeLimitSeconds={TRANSACTION_LIFETIME_S}"
    options = [option for setting in (*settings, lifetime, *parameters) for option in ("--setParameter", setting)]
    command = (str(binaries.mongod()), "--replSet", "rs0", *place, *sizes, *options)
    return StoreProcess(command, f"mongodb://{HOST}:{port}/?replicaSet=rs0")


async def redis_is_ready(url: str) -> None:
    """Wait until a Redis answers and has loaded its data. Raises StartupError."""
    async with Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
        try:
            async for attempt in _attempts(RedisError, OSError, TimeoutError):
                with attempt:
                    await client.ping()
        except (RedisError, OSError, TimeoutError) as error:
            raise StartupError(f"Redis at {url.rpartition('@')[2]} does not start: {error}") from error


async def mongodb_is_ready(port: int) -> None:
    """Initiate the replica set if necessary, and wait until `mongod` is its primary. Raises StartupError."""
    client = mongo_client(f"mongodb://{HOST}:{port}/?directConnection=true", server_selection_timeout_s=1)
    try:
        async for attempt in _attempts(PyMongoError, _NotPrimary):
            with attempt:
                await _become_primary(client, f"{HOST}:{port}")
    except (PyMongoError, _NotPrimary) as error:
        raise StartupError(f"mongod at port {port} does not start: {error}") from error
    finally:
        client.close()


def require_kafka() -> None:
    """Raise StartupError if this installation has no broker to start."""
    if not KAFKA.is_file():
        raise StartupError("the broker is not part of this installation: set PENSTOCK_KAFKA_BOOTSTRAP")


async def fetch_kafka() -> None:
    """Fetch the jars of the broker, unless they are here. Raises StartupError."""
    fetching = await asyncio.create_subprocess_exec(KAFKA, "--fetch", stdout=asyncio.subprocess.DEVNULL)
    if await fetching.wait() != 0:
        raise StartupError("Kafka cannot be fetched: see the output above, or set PENSTOCK_KAFKA_BOOTSTRAP")


def kafka_store(folder: Path, port: int, controller_port: int) -> StoreProcess:
    """One Kafka broker. Its URL is the address of a bootstrap server, host:port."""
    folder.mkdir(parents=True, exist_ok=True)
    return StoreProcess((str(KAFKA), str(folder.resolve()), str(port), str(controller_port)), f"{HOST}:{port}")


async def kafka_is_ready(bootstrap: str) -> None:
    """Wait until a broker answers. Raises StartupError."""
    host, _, port = bootstrap.rpartition(":")
    try:
        async for attempt in _attempts(KafkaError, OSError, TimeoutError):
            with attempt:
                _, writer = await asyncio.open_connection(host, int(port))  # aiokafka would log each failed attempt
                writer.close()
                admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=2000)
                try:
                    await admin.start()
                    await admin.describe_cluster()
                finally:
                    await admin.close()
    except (KafkaError, OSError, TimeoutError) as error:
        raise StartupError(f"Kafka at {bootstrap} does not start: {error}") from error


class _NotPrimary(Exception):
    """`mongod` is not the primary of its replica set yet."""


async def _become_primary(client: MongoClient, host: str) -> None:
    if (await client.admin.command("hello")).get("isWritablePrimary"):
        return
    members = [{"_id": 0, "host": host}]
    try:
        config = (await client.admin.command("replSetGetConfig"))["config"]
        if config["members"][0]["host"] != host:  # the port has changed since the last start
            config |= {"version": config["version"] + 1, "members": members}
            await client.admin.command("replSetReconfig", config, force=True)
    except OperationFailure as error:
        if error.code != NOT_YET_INITIALIZED:
            raise
        await client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
    raise _NotPrimary("not primary yet")


def _attempts(*errors: type[BaseException]) -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(errors),
        wait=wait_fixed(0.1),
        stop=stop_after_delay(START_TIMEOUT_S),
        reraise=True,
    )
