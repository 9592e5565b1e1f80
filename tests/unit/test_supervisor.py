"""The supervisor of `penstock up`: nothing that it runs into ends it, and what is down is said."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import StartupError
from app.local import supervisor as supervisor_module
from app.local.process_spec import ProcessSpec
from app.local.runtime import RunningProcess
from app.local.supervisor import Supervisor
from tests.support.waiting import eventually

SLEEPS = (sys.executable, "-c", "import time; time.sleep(60)")
FAILS = (sys.executable, "-c", "import sys; sys.exit('the reason')")


class Recorder:
    """What a supervisor reports, and a disk that may be full."""

    def __init__(self) -> None:
        self.full = False
        self.running: list[RunningProcess] = []
        self.said: list[str] = []

    def changed(self, running: list[RunningProcess]) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.running = running


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def supervisor(tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Supervisor]:
    monkeypatch.setattr(supervisor_module, "SAID_AFTER_S", 0.5)
    monkeypatch.setattr(supervisor_module, "CHECK_INTERVAL_S", 0.05)
    supervisor = Supervisor(tmp_path, recorder.changed, recorder.said.append)
    supervisor.say_what_is_down()
    yield supervisor
    await supervisor.end(None, 5)


async def test_a_full_disk_keeps_no_process_from_being_started_again(
    supervisor: Supervisor, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "SAID_AFTER_S", 60.0)  # this is about what cannot be written
    child = await supervisor.start(ProcessSpec("worker", 0, SLEEPS))
    recorder.full = True
    for starts in (2, 3):
        assert child.process is not None
        child.process.kill()
        await eventually(lambda starts=starts: _is(child.starts == starts), 20, "it runs again")  # type: ignore[misc]
    [said] = recorder.said
    assert "No space left" in said
    recorder.full = False
    assert child.process is not None
    pid = child.process.pid
    await eventually(lambda: _is([one.pid for one in recorder.running] == [pid]), 20, "what failed is tried again")
    assert recorder.said[-1] == "the state of the processes is written again"


async def test_a_log_that_cannot_be_begun_keeps_nothing_from_being_tried_again(
    supervisor: Supervisor, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "SAID_AFTER_S", 60.0)  # not before it could not be started
    child = await supervisor.start(ProcessSpec("worker", 0, SLEEPS))
    log = tmp_path / "worker-0.log"
    log.unlink()
    log.mkdir()
    assert child.process is not None
    child.process.kill()
    await eventually(lambda: _is(child.start_error is not None), 20, "its log cannot be begun")
    monkeypatch.setattr(supervisor_module, "SAID_AFTER_S", 0.5)
    await eventually(lambda: _is(any("worker-0 is down" in line for line in recorder.said)), 20, "it is said")
    [said] = [line for line in recorder.said if "is down" in line]
    assert "it cannot be started" in said
    [reported] = recorder.running
    assert (reported.pid, reported.down_since is not None) == (None, True)
    log.rmdir()
    await eventually(lambda: _is(any("worker-0 is back" in line for line in recorder.said)), 20, "it is back")
    assert child.watch is not None
    assert not child.watch.done()


async def test_what_ends_again_and_again_is_said_once_with_its_last_line_and_is_back(
    supervisor: Supervisor, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "STEADY_AFTER_S", 5.0)  # starting Python takes a while on a busy machine
    repaired = tmp_path / "repaired"
    script = (
        f"import pathlib, sys, time; pathlib.Path({str(repaired)!r}).exists() or sys.exit('the reason'); time.sleep(60)"
    )
    monkeypatch.setattr(supervisor_module, "SAID_AFTER_S", 60.0)  # not before it has ended with a line in its log
    child = await supervisor.start(ProcessSpec("worker", 0, (sys.executable, "-c", script), advice=lambda _: "do this"))
    await eventually(lambda: _is(child.starts > 1), 30, "it has ended once")
    monkeypatch.setattr(supervisor_module, "SAID_AFTER_S", 0.5)
    await eventually(lambda: _is(child.starts > 6 and bool(recorder.said)), 60, "it was started again and again")
    [said] = recorder.said
    assert said.startswith("worker-0 is down: the reason (the log is ")
    assert said.endswith("; do this")
    assert recorder.running[0].problem == said.removeprefix("worker-0 is down: ")
    repaired.touch()
    await eventually(lambda: _is(len(recorder.said) > 1), 30, "it is back")
    assert recorder.said[1].startswith("worker-0 is back after ")
    await eventually(lambda: _is(recorder.running[0].down_since is None), 30, "and is reported so")


async def test_a_check_that_fails_does_not_end_the_checks(
    supervisor: Supervisor, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    bugs = 0

    async def broken(*_: object) -> bool:
        nonlocal bugs
        bugs += 1
        raise ValueError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(supervisor_module, "is_healthy", broken)
        await supervisor.start(ProcessSpec("worker", 0, SLEEPS, url="http://127.0.0.1:1"))
        await eventually(lambda: _is(bugs > 3), 20, "the checks go on")
    assert any("a bug" in line for line in recorder.said)
    recorder.said.clear()
    recorder.full = True
    await supervisor.start(ProcessSpec("worker", 1, SLEEPS))
    recorder.full = False
    await eventually(lambda: _is(recorder.said[-1].endswith("written again")), 20, "and do what they are for")


async def test_a_start_that_fails_is_said_with_the_last_line(supervisor: Supervisor) -> None:
    child = await supervisor.start(ProcessSpec("mongodb", 0, FAILS))
    with pytest.raises(StartupError, match="mongodb-0 does not start: the reason"):
        await supervisor.unless_it_ends(child, asyncio.sleep(60))


async def test_a_second_signal_hurries(supervisor: Supervisor) -> None:
    ignores = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    )
    child = await supervisor.start(ProcessSpec("worker", 0, (sys.executable, "-c", ignores)))
    await eventually(lambda: _is("on" in supervisor.log_of(child.spec).read_text()), 20, "it ignores the signal")
    loop = asyncio.get_running_loop()
    ending, began_s = asyncio.create_task(supervisor.end(None, 60)), loop.time()
    await asyncio.sleep(0.1)
    supervisor.hurry()
    await ending
    assert loop.time() - began_s < 30
    assert child.process is not None
    assert child.process.returncode == -9


async def _is(value: bool) -> bool:
    return value
