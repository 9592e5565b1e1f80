"""nginx in the foreground, with a configuration of the test's and all of its files in the test's folder."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.needs import missing

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def nginx_command() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        missing("nginx is not installed (Debian: apt-get install nginx-light)")
    return found


@asynccontextmanager
async def nginx(http: str, folder: Path, more: str = "") -> AsyncIterator[None]:
    """Run nginx with this content of its `http` block, and `more` beside it; it may not listen yet."""
    paths = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in TEMPORARY)
    own = f"daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;"
    file = folder / "nginx.conf"
    file.write_text(f"{own}\n{more}\nhttp {{ access_log off; {paths}\n{http}\n}}\n")
    process = await asyncio.create_subprocess_exec(nginx_command(), "-p", str(folder), "-c", str(file))
    try:
        yield
    finally:
        process.terminate()
        await process.wait()
