"""`penstock up`: the whole system on one machine."""

import asyncio
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from app.audit.entry import Actor
from app.clients import mongodb
from app.errors import StartupError
from app.local import advice, binaries, preflight, stores
from app.local.dashboard_in_background import LOG_FILE, offer_dashboard, sign_in_link
from app.local.development_key import ISSUER, KEY_FILE, ensure_key
from app.local.issuer import JWKS_PATH
from app.local.ports import HOST, FreePorts
from app.local.process_spec import Advice, ProcessSpec
from app.local.runtime import FILE as RUNTIME_FILE
from app.local.runtime import remove_runtime, write_runtime
from app.local.store_password import ensure_password
from app.local.supervisor import SupervisedProcess, Supervisor
from app.rules.bounds import MAX_RULES_AT_ONCE
from app.rules.bulk import BulkWriter
from app.rules.file import read_rules_file
from app.rules.key_headers import KeyHeaders
from app.rules.model import Rule
from app.rules.store import RuleStore
from app.settings import Settings, load_settings

IDENTITY_FILE = "identity.pem"
LOG_FOLDER = "logs"
FOLDERS = (LOG_FOLDER, "mongodb", "cache-redis", "queue-redis")
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
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
    grpc_port: int
    data_dir: Path
    rules: Path | None
    upstreams: tuple[str, ...]
    edges: int
    workers: int
    queue: str
    dashboard: bool = True


def run_up(options: UpOptions) -> None:
    """Run the system until a signal ends it. Raises StartupError, and InvalidRule before anything is started."""
    preflight.require_ports(options.port, options.admin_port, options.grpc_port)
    preflight.require_upstreams(options.upstreams)
    preflight.require_open_files()
    ports = FreePorts()
    broker = _own_broker(options, ports)
    overrides = {"kafka_bootstrap": f"{HOST}:{broker[0]}"} if broker else {}
    settings = load_settings(queue=options.queue, **overrides)
    admit = KeyHeaders(settings).admitted
    rules = read_rules_file(options.rules, admit) if options.rules is not None else []
    if not options.upstreams and not settings.upstreams and not DEMO_APP.is_file():
        raise StartupError("the demo app is not part of this installation: use --upstream URL")
    with preflight.locked(options.data_dir):
        preflight.make_folders(options.data_dir, FOLDERS)
        asyncio.run(LocalSystem(options, settings, rules, ports, broker).run())


class LocalSystem:
    """The whole system on this machine. `broker` has the ports of a Kafka broker to start."""

    def __init__(
        self,
        options: UpOptions,
        settings: Settings,
        rules: list[Rule],
        ports: FreePorts,
        broker: tuple[int, int] | None = None,
    ) -> None:
        self._options = options
        self._broker = broker
        self._ports = ports
        self._settings = settings
        self._rules = rules
        self._data_dir = options.data_dir
        self._beside: set[asyncio.Task[None]] = set()
        self._environment: dict[str, str] = {
            "PENSTOCK_DATA_DIR": str(options.data_dir.resolve()),
            "PENSTOCK_OPS_HOST": HOST,
            "PENSTOCK_DRAIN_S": "0",
            "PENSTOCK_QUEUE": options.queue,
            "PENSTOCK_RUNTIME_FILE": str((options.data_dir / RUNTIME_FILE).resolve()),
        }
        self._supervisor = Supervisor(
            options.data_dir / LOG_FOLDER, lambda running: write_runtime(options.data_dir, running), _print
        )

    async def run(self) -> None:
        """Start everything in order, wait for a signal, and end everything in the reverse order.

        SIGHUP comes when the terminal is closed. A second signal hurries.
        """
        stop = asyncio.Event()
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, stop)
        starting = asyncio.create_task(self._start())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopped
            _print("stopping")
        finally:
            beside = [starting, stopped, *self._beside]
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self._supervisor.end(PENSTOCK_ROLES, PENSTOCK_END_TIMEOUT_S)
            await self._supervisor.end(None, OTHERS_END_TIMEOUT_S)
            with suppress(OSError):  # a file that stays names a process that has ended, so commands ignore it
                remove_runtime(self._data_dir)

    def _on_signal(self, stop: asyncio.Event) -> None:
        if stop.is_set():
            _print("stopping at once")
            self._supervisor.hurry()
        stop.set()

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
        admin_ports = ("--port", str(options.admin_port), "--grpc-port", str(options.grpc_port))
        admin = ("admin", "--host", HOST, *admin_ports)
        children = [await self._start_own("sync", 0, "sync")]
        for index in range(options.edges):
            children.append(await self._start_own("edge", index, *edge, port=options.port, url=front))
        for index in range(options.workers):
            children.append(await self._start_own("worker", index, "worker"))
        admin_url = f"http://{HOST}:{options.admin_port}{self._settings.admin_base_path}"
        children.append(await self._start_own("admin", 0, *admin, port=options.admin_port, url=admin_url))
        await self._supervisor.ready(*children)
        self._print_summary(front, admin_url)
        _print(f"Penstock is ready at {front} after {time.monotonic() - began_s:.1f} s")
        self._supervisor.say_what_is_down()
        if self._options.dashboard:
            self._beside.add(asyncio.create_task(self._offer_dashboard(admin_url)))

    async def _offer_dashboard(self, url: str) -> None:
        settings = self._settings.model_copy(update={"data_dir": self._data_dir})
        log = self._data_dir / LOG_FOLDER / LOG_FILE
        await offer_dashboard(log, url, lambda: sign_in_link(settings, url), _print)

    async def _start_stores(self) -> None:
        """Start the stores that the environment does not name."""
        if self._broker is not None:
            await stores.fetch_kafka()
        _print(f"starting MongoDB and two Redis{', and Kafka' if self._broker else ''}")
        waits = []
        if self._broker is not None:
            store = stores.kafka_store(self._data_dir / "kafka", *self._broker)
            kafka = await self._start_store("kafka", store, self._broker[0], "PENSTOCK_KAFKA_BOOTSTRAP")
            waits.append(self._supervisor.unless_it_ends(kafka, stores.kafka_is_ready(store.url)))
        if "PENSTOCK_MONGODB_URL" not in os.environ:
            port = self._ports.take()
            store = stores.rules_store(self._data_dir / "mongodb", port)
            mongodb = await self._start_store("mongodb", store, port, "PENSTOCK_MONGODB_URL")
            waits.append(self._supervisor.unless_it_ends(mongodb, stores.mongodb_is_ready(port)))
        for role, variable, make in (
            ("cache-redis", "PENSTOCK_CACHE_REDIS_URL", stores.cache_store),
            ("queue-redis", "PENSTOCK_QUEUE_REDIS_URL", stores.queue_store),
        ):
            if variable not in os.environ:
                port = self._ports.take()
                store = make(self._data_dir / role, port, ensure_password(self._data_dir))
                redis = await self._start_store(role, store, port, variable)
                if role == "queue-redis":
                    self._environment["PENSTOCK_QUEUE_FOLDER"] = str((self._data_dir / role).resolve())
                waits.append(self._supervisor.ready(redis))
        await asyncio.gather(*waits)

    async def _start_store(self, role: str, store: stores.StoreProcess, port: int, variable: str) -> SupervisedProcess:
        self._environment[variable] = store.url
        advised, noticed = (_aof_advice(self._data_dir / role), _aof_notice) if role == "queue-redis" else (None, None)
        return await self._supervisor.start(
            ProcessSpec(role, 0, store.command, port=port, url=store.url, advice=advised, notice=noticed)
        )

    async def _apply_rules(self) -> None:
        url = self._environment.get("PENSTOCK_MONGODB_URL", self._settings.mongodb_url)
        client = mongodb(self._settings.model_copy(update={"mongodb_url": url}))
        try:
            database = client[self._settings.mongodb_database]
            await RuleStore(database).setup(self._settings.history_days, self._settings.audit_days)
            by, writer, changed = Actor("penstock up", "process"), BulkWriter(database), 0
            for first in range(0, len(self._rules), MAX_RULES_AT_ONCE):
                page = self._rules[first : first + MAX_RULES_AT_ONCE]
                changed += sum(one.outcome != "unchanged" for one in await writer.apply(page, (), by))
            if self._rules:
                _print(f"{len(self._rules)} rules from {self._options.rules}, {changed} of them new or changed")
        finally:
            client.close()

    async def _start_issuer(self) -> None:
        ensure_key(self._data_dir / IDENTITY_FILE, ed25519.Ed25519PrivateKey.generate())
        identity = self._settings.identity_key_file or (self._data_dir / IDENTITY_FILE).resolve()
        self._environment["PENSTOCK_IDENTITY_KEY_FILE"] = str(identity)
        if self._settings.jwks_url is not None:
            return
        ensure_key(self._data_dir / KEY_FILE, ec.generate_private_key(ec.SECP256R1()))
        port = self._ports.take()
        url = f"http://{HOST}:{port}"
        issuer = await self._start_own("issuer", 0, "issuer", "--port", str(port), port=port, url=url)
        await self._supervisor.ready(issuer)
        self._environment |= {"PENSTOCK_JWKS_URL": url + JWKS_PATH, "PENSTOCK_JWT_ISSUER": ISSUER}

    async def _start_upstream(self) -> None:
        given = self._options.upstreams or tuple(str(address) for address in self._settings.upstreams)
        if not given:
            port = self._ports.take()
            given = (f"http://{HOST}:{port}",)
            front = f"http://{HOST}:{self._options.port}"
            command = (sys.executable, str(DEMO_APP), "--port", str(port), "--penstock", front)
            demo = ProcessSpec("demo-app", 0, command, port=port, url=given[0], health_path="/_demo/healthz")
            await self._supervisor.ready(await self._supervisor.start(demo))
        self._environment["PENSTOCK_UPSTREAMS"] = ",".join(given)

    async def _start_own(
        self, role: str, index: int, *arguments: str, port: int | None = None, url: str | None = None
    ) -> SupervisedProcess:
        ops_port = self._ports.take()
        command = (_penstock(), *arguments, "--ops-port", str(ops_port))
        return await self._supervisor.start(
            ProcessSpec(role, index, command, dict(self._environment), port=port, url=url, ops_port=ops_port)
        )

    def _print_summary(self, front: str, admin_url: str) -> None:
        activate = _activation()
        command = "penstock" if activate or shutil.which("penstock") else str(Path(_penstock()))
        own_issuer = self._settings.jwks_url is not None
        grpc = f"; gRPC: {HOST}:{self._options.grpc_port}" if self._options.grpc_port else ""
        where = "" if self._data_dir == Path(".penstock") else f" --data-dir {self._data_dir}"
        _print(
            f"""
  edge     {front}   ({self._options.edges} process{"es" if self._options.edges > 1 else ""})
  admin    {admin_url}   (documentation: {admin_url}/docs{grpc})
  upstream {self._environment["PENSTOCK_UPSTREAMS"]}
  data     {self._data_dir.resolve()}   (with logs/ and runtime.json)

Try{", in another terminal" if activate else ""}:
{activate}  TOKEN={"…  # of your issuer" if own_issuer else f"$({command} token alice{where})"}
  curl -i {front}/hello -H "Authorization: Bearer $TOKEN"
  {command} rules list{where}
""",
        )


def _activation() -> str:
    """The line with which another terminal finds `penstock`; nothing where it is not in a virtual environment."""
    script = Path(sys.prefix) / "bin" / "activate"
    if sys.prefix == sys.base_prefix or not script.is_file():
        return ""
    here = Path.cwd()
    return f"  source {script.relative_to(here) if script.is_relative_to(here) else script}\n"


def _own_broker(options: UpOptions, ports: FreePorts) -> tuple[int, int] | None:
    """Return the ports of the broker to start, or None if none is needed or the environment names one."""
    if options.queue != "kafka" or "PENSTOCK_KAFKA_BOOTSTRAP" in os.environ:
        return None
    stores.require_kafka()
    return ports.take(), ports.take()


def _print(text: str) -> None:
    """Print a line. Without a terminal any more, as after SIGHUP, nothing is printed."""
    try:
        print(text, flush=True)
    except OSError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - it is open until the process ends


def _aof_advice(folder: Path) -> Advice:
    return lambda lines: advice.advice(lines, folder, binaries.redis_server())


def _aof_notice(lines: list[str]) -> str:
    if not advice.was_cut(lines):
        return ""
    return "a write that was under way when it ended last was left out; it had not been acknowledged"


def _penstock() -> str:
    return str(Path(sys.executable).parent / "penstock")
