"""`penstock status`: says how an installation is, and what is wrong."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.options import AsJson
from app.commands.status_tables import print_status
from app.commands.tables import print_rows
from app.errors import PenstockError
from app.local.runtime import RunningProcess, find_running


def status(as_json: AsJson = False, installation: InstallationOption = DEFAULT_INSTALLATION) -> None:
    """Say how the installation is, and what `penstock up` runs on this machine.

    The exit code is 1 if something is wrong: processes that are down or not heard of, stores that cannot be reached or
    may lose something, rules that have not arrived, app servers whose circuit breakers are open.
    """
    from app.commands.connection import is_on_this_machine
    from app.settings import load_settings

    local = is_on_this_machine(installation, load_settings())
    processes = find_running(installation.data_dir).processes if local else ()
    problems = [process.trouble for process in processes if process.trouble]
    found: dict[str, Any] | None = None
    try:
        with AdminClient(installation) as client:
            found = client.call("GET", "status")
    except PenstockError as error:
        if not local:
            raise
        problems.append(str(error))
    problems += [] if found is None else [problem["text"] for problem in found["problems"]]
    if as_json:
        local_rows = [asdict(process) for process in processes]
        print(json.dumps({"processes": local_rows, "status": found, "problems": problems}, indent=2))
    else:
        _print(processes, found)
        for problem in problems:
            print(problem)
    if problems:
        raise typer.Exit(1)


def _print(processes: Sequence[RunningProcess], found: dict[str, Any] | None) -> None:
    if processes:
        print_rows(("process", "pid", "address", "state"), _local_rows(processes))
    if found is not None:
        print_status(found)


def _local_rows(processes: Iterable[RunningProcess]) -> Iterable[Sequence[str]]:
    for process in processes:
        yield process.name, str(process.pid or ""), process.url or "", "runs" if process.down_since is None else "down"
