"""The `penstock` command."""

import sys
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands.options import DEFAULT_DATA_DIR, DataDir
from app.errors import PenstockError, StartupError
from app.settings import QueueKind

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

OpsPort = Annotated[int, typer.Option(help="Loopback port of /metrics and /healthz; 0: any free one.")]


def main() -> None:
    """Run a command; an error of ours is one line and exit code 1."""
    _mount_groups()
    try:
        app(standalone_mode=True)
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _mount_groups() -> None:
    from app.commands import dead_letters, drain, rules  # noqa: PLC0415 - after the aliases above
    from app.commands.explain import explain  # noqa: PLC0415

    app.add_typer(rules.app, name="rules")
    app.add_typer(drain.app, name="drain")
    app.add_typer(dead_letters.app, name="dead-letters")
    app.command()(explain)


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Where clients connect.")] = 8080,
    admin_port: Annotated[int, typer.Option(help="Where operators connect (loopback).")] = 8081,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    rules: Annotated[Path | None, typer.Option(help="Rules to apply at the start, YAML or JSON.")] = None,
    upstream: Annotated[list[str] | None, typer.Option(help="An app server; may be repeated. Default: a demo.")] = None,
    edges: Annotated[int, typer.Option(min=1, max=64)] = 1,
    workers: Annotated[int, typer.Option(min=1, max=64)] = 1,
    queue: Annotated[
        QueueKind, typer.Option(envvar="PENSTOCK_QUEUE", help="With kafka: a broker is started too.")
    ] = "redis",
) -> None:
    """Start the whole system on this machine, and keep it running until Ctrl-C."""
    from app.local.up import Options, run_up  # noqa: PLC0415 - only this command needs it

    run_up(Options(port, admin_port, data_dir, rules, tuple(upstream or ()), edges, workers, queue))


@app.command()
def edge(
    host: str = "127.0.0.1",
    port: int = 8080,
    reuse_port: Annotated[bool, typer.Option("--reuse-port", help="Share the port with other edges.")] = False,
    ops_port: OpsPort = 0,
) -> None:
    """Run an edge."""
    _run("edge", ops_port, host, port, reuse_port)


@app.command()
def admin(host: str = "127.0.0.1", port: int = 8081, ops_port: OpsPort = 0) -> None:
    """Run the admin API."""
    _run("admin", ops_port, host, port)


@app.command()
def worker(ops_port: OpsPort = 0) -> None:
    """Run a worker."""
    _run("worker", ops_port)


@app.command()
def sync(ops_port: OpsPort = 0) -> None:
    """Run a sync worker."""
    _run("sync", ops_port)


@app.command()
def issuer(port: int = 8082, data_dir: DataDir = DEFAULT_DATA_DIR, ops_port: OpsPort = 0) -> None:
    """Run the development issuer."""
    _run("issuer", ops_port, "127.0.0.1", port, data_dir=data_dir)


@app.command()
def token(
    subject: str,
    claim: Annotated[list[str] | None, typer.Option(help="Another claim, name=value; may be repeated.")] = None,
    expires: Annotated[str, typer.Option(help="How long it is valid: 90s, 15m, 1h, 7d.")] = "1h",
    admin: Annotated[str | None, typer.Option(help="For the admin API: viewer, operator or admin.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Print a token of the development issuer, and nothing else."""
    from app.local.issuer import IssuerKey, token_claims  # noqa: PLC0415 - only this command needs it
    from app.settings import load_settings  # noqa: PLC0415

    claims = token_claims(load_settings(), subject, claim or [], parse_duration(expires), admin)
    print(IssuerKey.load(data_dir).sign(claims))


def parse_duration(text: str) -> timedelta:
    """`90s`, `15m`, `1h`, `7d`; raises StartupError."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = text[:-1], text[-1:]
    if not number.isdigit() or int(number) == 0 or unit not in units:
        raise StartupError(f"{text!r} is no duration: write 90s, 15m, 1h or 7d")
    return timedelta(seconds=int(number) * units[unit])


def _run(
    role: str, ops_port: int, host: str = "", port: int = 0, reuse_port: bool = False, data_dir: Path | None = None
) -> None:
    from app.process.lifecycle import Listen, run  # noqa: PLC0415 - `penstock token` needs none of it
    from app.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir})
    listen = Listen(host, port, reuse_port) if host else None
    run(role, _body(role), settings, listen=listen, ops_port=ops_port)


def _body(role: str) -> Any:  # noqa: ANN401 - app.process.lifecycle.Body, which is not imported here
    (found,) = entry_points(group="penstock.processes", name=role)
    return found.load()


if __name__ == "__main__":
    main()
