"""A real Kafka broker for tests: scripts/kafka, or the one that PENSTOCK_KAFKA_BOOTSTRAP names."""

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from app.errors import StartupError
from app.local.stores import KAFKA, kafka_is_ready
from app.settings import Settings
from tests.support.needs import missing
from tests.support.ports import free_port
from tests.support.processes import start

MISSING = "no Kafka for this test: install Maven and Java 17 (Debian: apt-get install maven default-jre-headless)"
OR_NAMED = ", or name a broker with PENSTOCK_KAFKA_BOOTSTRAP"


def skip_unless_kafka(*, own: bool = False) -> None:
    """`own`: a broker of the test's own, to be killed or with settings of its own; one that is named will not do."""
    if shutil.which("mvn") or (not own and os.environ.get("PENSTOCK_KAFKA_BOOTSTRAP")):
        return
    missing(MISSING if own else MISSING + OR_NAMED)


def with_kafka(settings: Settings, bootstrap: str) -> Settings:
    """The same settings with the Kafka queue and topics of its own."""
    name = uuid.uuid4().hex[:12]
    changed = {
        "queue": "kafka",
        "kafka_bootstrap": tuple(bootstrap.split(",")),
        "kafka_topic": f"jobs-{name}",
        "kafka_dead_letter_topic": f"letters-{name}",
        "kafka_group": f"intake-{name}",
    }
    return settings.model_copy(update=changed)


class Broker:
    """One that a test may do anything to; started again it has the same port and the same files."""

    def __init__(self, folder: Path, more: Callable[[int, int], str] | None = None, *, outlives: bool = False) -> None:
        self._folder = folder
        self._outlives = outlives
        self._ports = (free_port(), free_port())
        self.bootstrap = f"127.0.0.1:{self._ports[0]}"
        folder.mkdir(parents=True, exist_ok=True)
        self._more: list[Path] = []
        if more is not None:
            self._more.append(folder / "more.properties")
            self._more[0].write_text(more(*self._ports))
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        command = [str(KAFKA), str(self._folder), *map(str, (*self._ports, *self._more))]
        return start(command, self._folder / "broker.log", outlives=self._outlives)

    def ready(self) -> None:
        """Wait until it answers; in a thread, for a fixture may be asked for while an event loop runs."""
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(self.answers())).result()

    async def answers(self) -> None:
        """Wait until it does."""
        try:
            await kafka_is_ready(self.bootstrap)
        except StartupError as error:
            raise AssertionError((self._folder / "broker.log").read_text()[-2000:]) from error

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.process = self._started()

    def stop(self) -> None:
        """SIGSTOP: it hangs."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        if self.process.poll() is None:
            self.go_on()
            self.kill()


_SHARED: list[Broker] = []
"""Keeps the process of a shared broker from being collected, which would warn that it still runs."""


def shared_broker(folder: Path) -> str:
    """The bootstrap server of the one broker of all test processes that share this folder, which is started if need be.

    Whoever made the folder ends the broker: a process that starts it may be done with its tests before the others.
    """
    address, pid = folder / "bootstrap", folder / "pid"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            subprocess.run([KAFKA, "--fetch"], check=True)
            broker = Broker(folder / "broker", outlives=True)
            _SHARED.append(broker)
            pid.write_text(str(broker.process.pid))
            broker.ready()
            address.write_text(broker.bootstrap)
    return address.read_text()


def end_shared_broker(folder: Path) -> None:
    """End the broker of this folder, if there is one, and wait until it has ended."""
    file = folder / "pid"
    if not file.exists():
        return
    pid = int(file.read_text())
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):  # another process of the run started it
        os.waitpid(pid, 0)


@contextmanager
def own_broker(folder: Path, more: Callable[[int, int], str] | None = None) -> Iterator[Broker]:
    """`more`: settings that come after the usual ones, by the ports of the broker and its controller."""
    skip_unless_kafka(own=True)
    subprocess.run([KAFKA, "--fetch"], check=True)
    broker = Broker(folder, more)
    try:
        broker.ready()
        yield broker
    finally:
        broker.end()
