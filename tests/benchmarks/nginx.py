"""nginx as the app server that does nothing, and as a rate limiter to compare with."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.benchmarks.errors import CannotRun
from tests.support.ports import free_port

BODY = "from the app server"

_FRAME = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{http}
}}
"""

_APP_SERVER = """
  log_format times '$msec';
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    default_type text/plain;
    location / {{ return 200 "{body}\\n"; }}
    location = /identity {{ return 200 "$http_penstock_identity"; }}
    location = /-/requests {{ stub_status; }}
  }}
  server {{
    listen 127.0.0.1:{timed_port} backlog=1024;
    access_log {folder}/times.log times;
    location / {{ return 200 "{body}\\n"; }}
  }}
"""

_LIMITER = """
  limit_req_zone $http_authorization zone=user:10m rate=1000000r/s;
  limit_req_zone $binary_remote_addr zone=ip:10m rate=1000000r/s;
  limit_req_status 429;
  upstream app_server {{
    server {upstream};
    keepalive 128;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      limit_req zone=user burst=1000000 nodelay;
      limit_req zone=ip burst=1000000 nodelay;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_pass http://app_server;
    }}
  }}
"""


@dataclass
class AppServer:
    """An app server that answers at once and counts its requests."""

    folder: Path
    port: int
    timed_port: int
    pid: int = 0
    asked: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def timed_url(self) -> str:
        """The URL of the same app server with a log of arrival times."""
        return f"http://127.0.0.1:{self.timed_port}"

    async def hits(self, http: aiohttp.ClientSession) -> int:
        """The number of requests so far, without those that asked for it."""
        async with http.get(f"{self.url}/-/requests") as response:
            lines = (await response.text()).splitlines()
        self.asked += 1
        return int(lines[2].split()[2]) - self.asked

    def forget_times(self) -> None:
        (self.folder / "times.log").write_text("")

    def times_s(self) -> list[float]:
        """The arrival times of requests to `timed_url` in ascending order, to a millisecond."""
        return sorted(float(line) for line in (self.folder / "times.log").read_text().split())


@contextmanager
def app_server(folder: Path) -> Iterator[AppServer]:
    server = AppServer(folder, free_port(), free_port())
    http = _APP_SERVER.format(port=server.port, timed_port=server.timed_port, body=BODY, folder=folder)
    with _nginx(folder, http) as process:
        server.pid = process.pid
        yield server


@contextmanager
def limiter(folder: Path, upstream: str) -> Iterator[tuple[int, str]]:
    """A proxy with `limit_req` for users and addresses that never refuses. Yields its process id and its URL."""
    port = free_port()
    http = _LIMITER.format(port=port, upstream=upstream.removeprefix("http://"))
    with _nginx(folder, http) as process:
        yield process.pid, f"http://127.0.0.1:{port}"


@contextmanager
def _nginx(folder: Path, http: str) -> Iterator[subprocess.Popen[bytes]]:
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(_FRAME.format(folder=folder, http=http))
    process = subprocess.Popen([need_nginx(), "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def need_nginx() -> str:
    """The path of nginx. Raises CannotRun if it is not installed."""
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise CannotRun("nginx is not on PATH (Debian: apt-get install nginx-light)")
    return path


async def answering(url: str, within_s: float = 30.0) -> None:
    """Wait until a server answers with any status. Raises CannotRun if it does not."""
    deadline = asyncio.get_running_loop().time() + within_s
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(url):
                    return
            except aiohttp.ClientError as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise CannotRun(f"{url} does not answer: {error}") from error
                await asyncio.sleep(0.05)
