"""`penstock up`: the whole system on one machine."""

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from pydantic import HttpUrl, TypeAdapter, ValidationError

from app.clients import mongodb
from app.errors import StartupError
from app.local import stores
from app.local.issuer import ISSUER, JWKS_PATH, KEY_FILE, ensure_key
from app.local.runtime import remove_runtime, write_runtime
from app.local.supervisor import ProcessSpec, SupervisedProcess, Supervisor
from app.rules.file import read_rules_file
from app.rules.model import Rule, editable_fields, to_json
from app.rules.store import RuleStore
from app.settings import Settings, load_settings

HOST = "127.0.0.1"
IDENTITY_FILE = "identity.pem"
DEMO_APP = Path(__file__).parents[2] / "scripts" / "demo_app.py"
PENSTOCK_ROLES = frozenset({"edge", "worker", "admin", "sync"})
"""These end before the stores and the app server that they use."""
PENSTOCK_END_TIMEOUT_S = 22.0
OTHERS_END_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of `penstock up`."""

    port: int
    admin_port: int
    data_dir: Path
    rules: Path | None
    upstreams: tuple[str, ...]
    edges: int
    workers: int
    queue: str


def run_up(options: UpOptions) -> None:
    """Run the system until SIGINT or SIGTERM. Raises StartupError, and InvalidRule before anything is started."""
    broker = _own_broker(options)
    overrides = {"kafka_bootstrap": f"{HOST}:{broker[0]}"} if broker else {}
    settings = load_settings(queue=options.queue, **overrides)
    rules = read_rules_file(options.rules) if options.rules is not None else []
    _require_addresses(options.upstreams)
    if not options.upstreams and not settings.upstreams and not DEMO_APP.is_file():
        raise StartupError("the demo app is not part of this installation: use --upstream URL")
    with _locked(options.data_dir):
        for port in (options.port, options.admin_port):
            _require_free(port)
        asyncio.run(LocalSystem(options, settings, rules, broker).run())


class LocalSystem:
    """The whole system on this machine. `broker` has the ports of a Kafka broker to start."""

    def __init__(
        self, options: UpOptions, settings: Settings, rules: list[Rule], broker: tuple[int, int] | None = None
    ) -> None:
        self._options = options
        self._broker = broker
        self._settings = settings
        self._rules = rules
        self._data_dir = options.data_dir
        self._environment: dict[str, str] = {
            "PENSTOCK_DATA_DIR": str(options.data_dir.resolve()),
            "PENSTOCK_OPS_HOST": HOST,
            "PENSTOCK_DRAIN_S": "0",
            "PENSTOCK_QUEUE": options.queue,
        }
        log_dir = options.data_dir / "logs"
        log_dir.mkdir(exist_ok=True)
        self._supervisor = Supervisor(log_dir, lambda running: write_runtime(options.data_dir, running))

    async def run(self) -> None:
        """Start everything in order, wait for SIGINT or SIGTERM, and end everything in the reverse order."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        starting = asyncio.create_task(self._start())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopped
            _print("stopping")
        finally:
            starting.cancel()
            stopped.cancel()
            await asyncio.gather(starting, stopped, return_exceptions=True)
            await self._supervisor.end(PENSTOCK_ROLES, PENSTOCK_END_TIMEOUT_S)
            await self._supervisor.end(None, OTHERS_END_TIMEOUT_S)
            remove_runtime(self._data_dir)

    async def _start(self) -> None:
        began_s = time.monotonic()
        await self._start_stores()
        await self._apply_rules()
        await self._start_issuer()
        await self._start_upstream()
        _print("starting sync, edges, workers, admin")
        options = self._options
        front = f"http://{HOST}:{options.port}"
        edge = ("edge", "--host", HOST, "--port", str(options.port), "--reuse-port")
        admin = ("admin", "--host", HOST, "--port", str(options.admin_port))
        children = [await self._start_own("sync", 0, "sync")]
        for index in range(options.edges):
            children.append(await self._start_own("edge", index, *edge, port=options.port, url=front))
        for index in range(options.workers):
            children.append(await self._start_own("worker", index, "worker"))
        admin_url = f"http://{HOST}:{options.admin_port}"
        children.append(await self._start_own("admin", 0, *admin, port=options.admin_port, url=admin_url))
        await self._supervisor.ready(*children)
        self._print_summary(front, admin_url)
        _print(f"Penstock is ready at {front} after {time.monotonic() - began_s:.1f} s")

    async def _start_stores(self) -> None:
        """Start the stores that the environment does not name."""
        if self._broker is not None:
            await stores.fetch_kafka()
        _print(f"starting MongoDB and two Redis{', and Kafka' if self._broker else ''}")
        waits = []
        if self._broker is not None:
            store = stores.kafka_store(self._data_dir / "kafka", *self._broker)
            await self._start_store("kafka", store, self._broker[0], "PENSTOCK_KAFKA_BOOTSTRAP")
            waits.append(stores.kafka_is_ready(store.url))
        if "PENSTOCK_MONGODB_URL" not in os.environ:
            port = _free_port()
            store = stores.rules_store(self._data_dir / "mongodb", port)
            await self._start_store("mongodb", store, port, "PENSTOCK_MONGODB_URL")
            waits.append(stores.mongodb_is_ready(port))
        for role, variable, make in (
            ("cache-redis", "PENSTOCK_CACHE_REDIS_URL", stores.cache_store),
            ("queue-redis", "PENSTOCK_QUEUE_REDIS_URL", stores.queue_store),
        ):
            if variable not in os.environ:
                port = _free_port()
                store = make(self._data_dir / role, port)
                await self._start_store(role, store, port, variable)
                if role == "queue-redis":
                    self._environment["PENSTOCK_QUEUE_FOLDER"] = str((self._data_dir / role).resolve())
                waits.append(stores.redis_is_ready(store.url))
        await asyncio.gather(*waits)

    async def _start_store(self, role: str, store: stores.StoreProcess, port: int, variable: str) -> None:
        self._environment[variable] = store.url
        await self._supervisor.start(ProcessSpec(role, 0, store.command, port=port, url=store.url))

    async def _apply_rules(self) -> None:
        url = self._environment.get("PENSTOCK_MONGODB_URL", self._settings.mongodb_url)
        client = mongodb(self._settings.model_copy(update={"mongodb_url": url}))
        try:
            store = RuleStore(client[self._settings.mongodb_database])
            await store.setup(self._settings.history_days)
            existing = {rule.rule_id: _content(rule) for rule in (await store.all())[0]}
            changed = [rule for rule in self._rules if existing.get(rule.rule_id) != _content(rule)]
            for rule in changed:
                await store.put(rule, "penstock up")
            if self._rules:
                _print(f"{len(self._rules)} rules from {self._options.rules}, {len(changed)} of them new or changed")
        finally:
            client.close()

    async def _start_issuer(self) -> None:
        ensure_key(self._data_dir / IDENTITY_FILE, ed25519.Ed25519PrivateKey.generate())
        identity = self._settings.identity_key_file or (self._data_dir / IDENTITY_FILE).resolve()
        self._environment["PENSTOCK_IDENTITY_KEY_FILE"] = str(identity)
        if self._settings.jwks_url is not None:
            return
        ensure_key(self._data_dir / KEY_FILE, ec.generate_private_key(ec.SECP256R1()))
        port = _free_port()
        url = f"http://{HOST}:{port}"
        issuer = await self._start_own("issuer", 0, "issuer", "--port", str(port), port=port, url=url)
        await self._supervisor.ready(issuer)
        self._environment |= {"PENSTOCK_JWKS_URL": url + JWKS_PATH, "PENSTOCK_JWT_ISSUER": ISSUER}

    async def _start_upstream(self) -> None:
        given = self._options.upstreams or tuple(str(address) for address in self._settings.upstreams)
        if not given:
            port = _free_port()
            given = (f"http://{HOST}:{port}",)
            front = f"http://{HOST}:{self._options.port}"
            command = (sys.executable, str(DEMO_APP), "--port", str(port), "--penstock", front)
            demo = ProcessSpec("demo-app", 0, command, port=port, url=given[0], health_path="/_demo/healthz")
            await self._supervisor.ready(await self._supervisor.start(demo))
        self._environment["PENSTOCK_UPSTREAMS"] = ",".join(given)

    async def _start_own(
        self, role: str, index: int, *arguments: str, port: int | None = None, url: str | None = None
    ) -> SupervisedProcess:
        ops_port = _free_port()
        command = (_penstock(), *arguments, "--ops-port", str(ops_port))
        return await self._supervisor.start(
            ProcessSpec(role, index, command, dict(self._environment), port=port, url=url, ops_port=ops_port)
        )

    def _print_summary(self, front: str, admin_url: str) -> None:
        command = "penstock" if shutil.which("penstock") else str(Path(_penstock()))
        where = "" if self._data_dir == Path(".penstock") else f" --data-dir {self._data_dir}"
        print(
            f"""
  edge     {front}   ({self._options.edges} process{"es" if self._options.edges > 1 else ""})
  admin    {admin_url}   (documentation: {admin_url}/docs)
  upstream {self._environment["PENSTOCK_UPSTREAMS"]}
  data     {self._data_dir.resolve()}   (with logs/ and runtime.json)

Try:
  TOKEN=$({command} token alice{where})
  curl -i {front}/hello -H "Authorization: Bearer $TOKEN"
  {command} rules list{where}
""",
            flush=True,
        )


def _own_broker(options: UpOptions) -> tuple[int, int] | None:
    """Return the ports of the broker to start, or None if none is needed or the environment names one."""
    if options.queue != "kafka" or "PENSTOCK_KAFKA_BOOTSTRAP" in os.environ:
        return None
    stores.require_kafka()
    return _free_port(), _free_port()


def _print(text: str) -> None:
    print(text, flush=True)


def _penstock() -> str:
    return str(Path(sys.executable).parent / "penstock")


def _content(rule: Rule) -> dict[str, object]:
    return editable_fields(to_json(rule))


def _require_addresses(upstreams: tuple[str, ...]) -> None:
    for address in upstreams:
        try:
            TypeAdapter(HttpUrl).validate_python(address)
        except ValidationError as error:
            raise StartupError(f"--upstream {address}: {error.errors()[0]['msg']}") from error


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise StartupError(f"port {port} cannot be used: {getattr(error, 'strerror', None) or error}") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Lock the data directory, so that only one `penstock up` uses it. Raises StartupError."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (data_dir / "lock").open("a")
    except OSError as error:
        raise StartupError(f"the data directory {data_dir} cannot be used: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartupError(f"the data directory {data_dir} is in use by another `penstock up`") from error
        yield
