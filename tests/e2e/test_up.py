"""`penstock up`: starts everything, keeps it running, ends all of it; says in one line why it can't start."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
import pytest

from tests.support.broker import skip_unless_kafka
from tests.support.penstock_up import START_S, STOP_S, Up, alive, running
from tests.support.ports import free_port
from tests.support.system import PENSTOCK
from tests.support.waiting import wait_for


def test_everything_starts_is_named_and_ends(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--edges", "2", "--workers", "2") as up:
        runtime = up.runtime()
        roles = sorted(process["role"] for process in runtime["processes"])
        assert roles == sorted(
            ["mongodb", "cache-redis", "queue-redis", "issuer", "demo-app", "sync", "admin", *["edge", "worker"] * 2]
        )
        assert runtime["pid"] == up.process.pid
        assert (up.data_dir / "runtime.json").stat().st_mode & 0o777 == 0o600
        for process in runtime["processes"]:
            if process["ops_url"]:
                metrics = httpx.get(f"{process['ops_url']}/metrics")
                assert metrics.status_code == 200
        assert up.get("/hello").status_code == 200
        to_try = up.said().split("Try")[1].split("\n\n")[0].splitlines()[1:]
        terminal = subprocess.run(  # another one, which does not know the virtual environment
            ["bash", "-euc", "\n".join(to_try)],
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "HTTP/1.1 200" in terminal.stdout, to_try
        edge = up.pids("edge")[0]
        command = Path(f"/proc/{edge}/cmdline").read_bytes().split(b"\0")
        assert b"edge" in command
        edges = up.pids("edge")
        restart = ("edge", "restart", "--data-dir", str(up.data_dir))
        answer = subprocess.run([PENSTOCK, *restart], capture_output=True, text=True, timeout=120, check=True)
        assert answer.stdout.splitlines() == ["edge 0: restarted", "edge 1: restarted"]
        assert not set(edges) & set(up.pids("edge"))
        assert up.get("/hello").status_code == 200
        fails_with_one_line("there is no edge 7: running are 0, 1", *restart, "7")
        pids = [*up.pids(), up.process.pid]
        start = time.monotonic()
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(STOP_S) == 0
        print(f"ended after {time.monotonic() - start:.1f} s")
        assert alive(pids) == []
        assert not (up.data_dir / "runtime.json").exists()
    with running(tmp_path / "data") as again:
        ends_everything(signal.SIGHUP, again)


def ends_everything(number: signal.Signals, up: Up) -> None:
    assert up.get("/hello").status_code == 200
    pids = up.pids()
    up.process.send_signal(number)
    assert up.process.wait(STOP_S) == 0
    assert alive(pids) == []
    assert not (up.data_dir / "runtime.json").exists()


def test_an_old_data_directory_is_closed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "lock").touch()  # as an older version left it, without a password
    with running(data) as up:
        assert data.stat().st_mode & 0o777 == 0o700
        ends_everything(signal.SIGTERM, up)


def test_a_damaged_queue_is_said_everywhere_and_so_is_its_return(tmp_path: Path) -> None:
    with running(tmp_path / "data") as up:
        (before,) = up.pids("queue-redis")
        folder = up.data_dir / "queue-redis"
        [file] = [
            path for path in (folder / "appendonly.aof", *folder.glob("appendonlydir/*.incr.aof")) if path.exists()
        ]
        whole = file.stat().st_size
        with file.open("ab") as damaged:
            damaged.write(b"garbage")
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: "queue-redis-0 is down" in up.said(), 60)
        assert "--fix" in up.said()
        assert str(file) in up.said()
        [trouble] = httpx.get(f"{up.url}/_penstock/readyz").json()["down"]
        assert "append only file" in trouble
        status = subprocess.run(
            [PENSTOCK, "status", "--data-dir", up.data_dir], capture_output=True, text=True, check=False
        )
        assert status.returncode == 1
        assert "queue-redis-0 has been down for" in status.stdout
        assert up.get("/hello").status_code == 200, "forwarding goes on without the queue"
        os.truncate(file, whole)
        wait_for(lambda: "queue-redis-0 is back after" in up.said(), 60)
        assert httpx.get(f"{up.url}/_penstock/readyz").json()["down"] == []
        assert "queue-redis-0" in up.penstock("status")


def test_whatever_dies_is_started_again(tmp_path: Path) -> None:
    with running(tmp_path / "data") as up:
        for role in ("edge", "worker", "sync", "admin", "issuer", "demo-app", "cache-redis", "queue-redis", "mongodb"):
            (before,) = up.pids(role)
            os.kill(before, signal.SIGKILL)

            def back(role: str = role, before: int = before) -> bool:
                return bool(alive(up.pids(role))) and up.pids(role) != [before]

            wait_for(back, 30)
        wait_for(lambda: serves(up), 60)
        wait_for(lambda: rules_can_be_written(up, tmp_path), 60)


def serves(up: Up) -> bool:
    try:
        return up.get("/hello").status_code == 200
    except httpx.HTTPError:
        return False


def rules_can_be_written(up: Up, folder: Path) -> bool:
    file = folder / "rules.json"
    file.write_text(
        '{"rules": [{"rule_id": "x", "key_type": "ip", "key_value": "*", "limit": 9, "window_seconds": 1}]}'
    )
    try:
        up.penstock("rules", "apply", str(file))
    except subprocess.CalledProcessError:
        return False
    return "x" in up.penstock("rules", "list")


def test_kill_9_of_up_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path / "data") as up:
        pids = up.pids()
        up.process.kill()
        up.process.wait()
        wait_for(lambda: alive(pids) == [], STOP_S)
    with running(tmp_path / "data") as again:
        ends_everything(signal.SIGQUIT, again)


@pytest.mark.kafka
def test_with_kafka_a_broker_is_started_kept_and_ended(tmp_path: Path) -> None:
    skip_unless_kafka(own=True)
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "rules: [{rule_id: r, key_type: user, key_value: '*', limit: 1, window_seconds: 3600, on_limit: defer, "
        "drain: {limit: 10, window_seconds: 1}}]"
    )
    with running(tmp_path / "data", "--queue", "kafka", "--rules", str(rules)) as up:
        [broker] = up.pids("kafka")
        assert deferred_and_sent(up)
        os.kill(broker, signal.SIGKILL)
        wait_for(lambda: up.pids("kafka") not in ([broker], [None]), STOP_S)
        assert deferred_and_sent(up)
        pids = up.pids()
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(STOP_S) == 0
        assert alive(pids) == []


def deferred_and_sent(up: Up) -> bool:
    """As soon as Kafka is there."""
    jobs: list[str] = []

    def accepted() -> bool:
        answer = up.get("/")
        if answer.status_code == 202:
            jobs.append(answer.headers["Location"].removeprefix(up.url))
        return bool(jobs)

    wait_for(accepted, START_S)
    wait_for(lambda: up.get(jobs[0]).json()["status"] == "succeeded", START_S)
    return True


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A system for tests that only ask it something."""
    with running(tmp_path_factory.mktemp("shared") / "data") as up:
        yield up


@pytest.mark.xdist_group("up")
def test_tokens_are_printed_alone_and_verify_against_the_jwks(shared: Up) -> None:
    token = shared.penstock("token", "alice", "--claim", "tier=gold", "--expires", "5m").strip()
    (issuer,) = (process for process in shared.runtime()["processes"] if process["role"] == "issuer")
    jwks = httpx.get(f"{issuer['url']}/.well-known/jwks.json").json()
    key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key.key, ["ES256"], audience="penstock", issuer="penstock-dev")
    assert (claims["sub"], claims["tier"], claims["exp"] - claims["iat"]) == ("alice", "gold", 300)
    admin = shared.penstock("token", "ops", "--admin", "viewer").strip()
    assert jwt.decode(admin, key.key, ["ES256"], audience="penstock-admin")["penstock_role"] == "viewer"
    rules = f"http://127.0.0.1:{shared.admin_port}/v1/rules"
    assert httpx.get(rules, headers={"Authorization": f"Bearer {admin}"}).status_code == 200
    assert httpx.post(rules, headers={"Authorization": f"Bearer {admin}"}, json={}).status_code == 403
    assert httpx.get(rules, headers={"Authorization": f"Bearer {token}"}).status_code == 401


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "0"), "--port 0: choose a port from 1 to 65535"),
        (("--port", "18080", "--admin-port", "18080"), "they must differ"),
        (("--upstream", "http://user:password@127.0.0.1"), "--upstream http://user:password@127.0.0.1"),
        (("--rules", "no-such-file.yaml"), "no-such-file.yaml"),
        (("--rules", "broken.yaml"), "limit"),
        (("--rules", "text.yaml"), "rules"),
        (("--upstream", "nonsense"), "nonsense"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text("rules: [{rule_id: a, key_type: user, key_value: x, limit: -1, window_seconds: 1}]")
    Path("text.yaml").write_text("just: text")
    fails_with_one_line(words, "up", "--port", str(free_port()), "--admin-port", str(free_port()), *arguments)


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        fails_with_one_line(port, "up", "--port", port, "--data-dir", str(tmp_path / "data"))


@pytest.mark.xdist_group("up")
def test_a_data_directory_in_use_is_said_in_one_line(shared: Up) -> None:
    ports = ("--port", str(free_port()), "--admin-port", str(free_port()))
    fails_with_one_line("in use", "up", *ports, "--data-dir", str(shared.data_dir))
    assert shared.get("/hello").status_code == 200


def test_a_wrong_setting_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_JWT_ALGORITHMS", "HS256")
    fails_with_one_line("PENSTOCK_JWT_ALGORITHMS", "up", "--data-dir", str(tmp_path / "data"))


def test_the_development_issuer_does_not_start_beside_a_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_JWKS_URL", "https://issuer.example/jwks.json")
    fails_with_one_line("PENSTOCK_JWKS_URL", "issuer", "--data-dir", str(tmp_path))


def test_commands_say_when_nothing_runs(tmp_path: Path) -> None:
    fails_with_one_line("nothing is running", "rules", "list", "--data-dir", str(tmp_path))
    fails_with_one_line("no development issuer", "token", "alice", "--data-dir", str(tmp_path))


def fails_with_one_line(words: str, *arguments: str) -> None:
    result = subprocess.run([PENSTOCK, *arguments], capture_output=True, text=True, timeout=60, check=False)
    lines = [line for line in result.stderr.strip().splitlines() if not line.startswith("{")]  # its log is JSON
    assert result.returncode != 0
    assert len(lines) == 1, lines
    assert lines[0].startswith("penstock: ")
    assert words in lines[0]


def test_a_tethered_command_ends_with_its_parent(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"import os, time, pathlib; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid())); time.sleep(60)"
    parent = (
        "import os, subprocess, sys, time;"
        "tether = [sys.executable, '-m', 'app.local.tether', str(os.getpid())];"
        f"subprocess.Popen([*tether, sys.executable, '-c', {script!r}]);"
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    wait_for(lambda: pid_file.exists() and bool(pid_file.read_text()), 20)
    child = int(pid_file.read_text())
    assert alive([child])
    process.kill()
    process.wait()
    wait_for(lambda: alive([child]) == [], 20)


@pytest.mark.xdist_group("up")
def test_the_dashboard_is_built_beside_the_system_and_its_link_signs_in_once(tmp_path: Path) -> None:
    with running(tmp_path / "data", dashboard=True) as up:
        wait_for(lambda: "the dashboard: " in up.said() or "was not built" in up.said(), START_S)
        [link] = re.findall(r"the dashboard: (http://127\.0\.0\.1:\d+/sign-in)#ticket=(\S+)", up.said())
        page, ticket = link
        assert httpx.get(page).status_code == 200
        api = page.removesuffix("sign-in") + "v1/sign-in/ticket"
        session = httpx.post(api, json={"ticket": ticket}).json()
        operator = httpx.get(api.replace("sign-in/ticket", "operator"), headers=bearer(session["token"])).json()
        assert operator["role"] == "admin"
        assert operator["name"].startswith("dashboard:")
        assert httpx.post(api, json={"ticket": ticket}).status_code == 401


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
