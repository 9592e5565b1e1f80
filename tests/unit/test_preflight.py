"""What `penstock up` cannot start with is said in one line before anything is started."""

import os
import resource
import socket
from pathlib import Path

import pytest

from app.errors import StartupError
from app.local.preflight import locked, make_folders, require_open_files, require_ports, require_upstreams
from tests.support.ports import free_port


@pytest.mark.parametrize("port", [0, -1, 65_536, 10**9])
def test_a_port_that_cannot_be_is_refused(port: int) -> None:
    with pytest.raises(StartupError, match=rf"--port {port}: choose a port from 1 to 65535"):
        require_ports(port, free_port())
    with pytest.raises(StartupError, match=rf"--admin-port {port}: choose"):
        require_ports(free_port(), port)


def test_equal_ports_are_refused() -> None:
    with pytest.raises(StartupError, match="they must differ"):
        require_ports(18_080, 18_080)


def test_a_port_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for ports in ((port, free_port()), (free_port(), port)):
            with pytest.raises(StartupError, match=f"port {port} cannot be used"):
                require_ports(*ports)


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:99999",
        "http://user:password@127.0.0.1",
        "http://127.0.0.1/?a=b",
        "http://127.0.0.1/#a",
        "http://a.test,http://b.test",
    ],
)
def test_what_is_no_address_of_an_app_server_is_refused(address: str) -> None:
    with pytest.raises(StartupError, match="--upstream") as raised:
        require_upstreams(["http://127.0.0.1:9000/base", address])
    assert "\n" not in str(raised.value)


def test_too_few_open_files_are_refused_and_more_are_taken_where_they_may_be() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    pid = os.fork()
    if pid == 0:  # the limit of the tests' own process stays as it is
        code = 3
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, min(2048, hard) if hard > 0 else 2048))
            require_open_files()
            raised = resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 1024
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            require_open_files()
        except StartupError as error:
            code = 0 if raised and "only 64 files" in str(error) else 4
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


@pytest.mark.parametrize("name", ["logs", "mongodb", "queue-redis"])
def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(StartupError, match=f"{name} cannot be used: it is no folder"):
        make_folders(tmp_path, ["logs", "mongodb", "queue-redis"])


def test_a_data_directory_is_its_owners_alone(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    with locked(data):
        assert data.stat().st_mode & 0o777 == 0o700
        with pytest.raises(StartupError, match="in use by another"), locked(data):
            pass
    data.chmod(0o755)  # as an older version left it
    with locked(data):
        assert data.stat().st_mode & 0o777 == 0o700


def test_an_empty_directory_is_closed_and_one_with_somebodys_files_is_refused(tmp_path: Path) -> None:
    for name in ("empty", "home"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    (tmp_path / "home" / "letter.txt").touch()
    with locked(tmp_path / "empty"):
        assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o700
    with pytest.raises(StartupError, match="open to other users and holds other files"), locked(tmp_path / "home"):
        pass
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o755, "nobody's home is changed"
    (tmp_path / "home").chmod(0o700)
    with locked(tmp_path / "home"):
        pass


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StartupError, match="cannot be used"), locked(tmp_path / "data"):
        pass
