"""`penstock status`: says what runs on this machine, and what is down."""

import json
from dataclasses import asdict

import typer

from app.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir
from app.commands.tables import print_table
from app.local.runtime import find_running


def status(as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Say what `penstock up` runs on this machine. The exit code is 1 if any of it has been down for more than 5 s."""
    from rich.markup import escape
    from rich.table import Table

    processes = find_running(data_dir.data_dir).processes
    troubles = [process.trouble for process in processes if process.trouble]
    if as_json:
        print(json.dumps({"processes": [asdict(process) for process in processes]}, indent=2))
    else:
        table = Table("process", "pid", "address", "state")
        for process in processes:
            state = "runs" if process.down_since is None else "[red]down[/red]"
            table.add_row(process.name, str(process.pid or ""), escape(process.url or ""), state)
        print_table(table)
        for trouble in troubles:
            print(trouble)
    if troubles:
        raise typer.Exit(1)
