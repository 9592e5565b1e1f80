"""The `penstock` command."""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.completion import shell_complete
from typer.exceptions import TyperException

from app.commands import dead_letters, drain, flows, jobs, operations, rules
from app.commands.audit import audit
from app.commands.dashboard import dashboard
from app.commands.durations import parse_duration
from app.commands.exit_codes import ExitCode, exit_code_of
from app.commands.explain import explain
from app.commands.groups import CommandGroup
from app.commands.installation import add_connection_options
from app.commands.options import DEFAULT_FOLDER, AsJson, DataFolder, parse_claims
from app.commands.status import status
from app.commands.top import top
from app.errors import InvalidInput, PenstockError, StartupError
from app.process.listen import Listen
from app.queue_kind import QueueKind
from app.web.excerpt import one_line

MAX_MESSAGE_LENGTH = 2000
COMPLETE_VARIABLE = "_PENSTOCK_COMPLETE"

HELP = "Run the processes of Penstock; look at rules, flows, jobs and dead letters, and change them."

# Typer's own options for completion would make each start import pydantic, so `penstock completion` takes their place.
app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=HELP,
)

Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(help="The port to listen on.")]
OpsPort = Annotated[int, typer.Option(help="Port of /metrics and /healthz; 0 takes a free one.")]
GrpcPort = Annotated[
    int, typer.Option(envvar="PENSTOCK_ADMIN_GRPC_PORT", help="The port of the admin API over gRPC; 0: none.")
]
OpsHost = Annotated[
    str | None, typer.Option(help="Address of /metrics and /healthz. Default: PENSTOCK_OPS_HOST, which is loopback.")
]


def main() -> None:
    """Run a command, and end with its exit code.

    An error is one line. Set PENSTOCK_LOG_LEVEL to `debug` for the traceback of a bug.
    """
    _leave_out("httpx._main")  # httpx's own command line
    raise SystemExit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run a command and return its exit code. An error is printed as one line."""
    try:
        require_utf8(arguments)
        if COMPLETE_VARIABLE in os.environ:  # a shell asks for completions
            _know_shells()
        result = typer.main.get_command(app).main(arguments, prog_name="penstock", standalone_mode=False)
    except BrokenPipeError:  # what reads the output has ended, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        message, code = _described(error)
        if message:
            print(f"penstock: {one_line(message, MAX_MESSAGE_LENGTH)}", file=sys.stderr)
        return code
    return result if isinstance(result, int) else 0


def _leave_out(module: str) -> None:
    """Let libraries that import a module if they can do without it, where that makes the start of a process faster."""
    sys.modules.setdefault(module, None)  # type: ignore[arg-type]  # None makes the import fail


def _described(error: Exception) -> tuple[str, int]:
    """Return the message and the exit code of an error."""
    match error:
        case PenstockError():
            return str(error), exit_code_of(error)
        case typer.Abort():
            return "stopped", ExitCode.REFUSED
        case TyperException():  # a wrong command line; without a message the help has been printed
            context = getattr(error, "ctx", None)
            usage = context.command_path if context is not None else "penstock"
            message = error.format_message()
            return message and f"{message} (see `{usage} --help`)", error.exit_code
    if os.environ.get("PENSTOCK_LOG_LEVEL") == "debug":
        traceback.print_exception(error)
    return f"this is a bug: {type(error).__name__}: {error}", ExitCode.BUG


def _know_shells() -> None:
    """Tell typer which shells there are, which it leaves out because its own options for completion are off."""
    from typer._completion_classes import completion_init

    completion_init()


def require_utf8(arguments: list[str]) -> None:
    """Raise InvalidInput if an argument is not UTF-8, which Python represents by surrogates."""
    for number, argument in enumerate(arguments, 1):
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise InvalidInput(f"argument {number} is not UTF-8: {one_line(argument, 80)}")


@app.command()
def up(
    port: Annotated[int, typer.Option(help="The port for clients.")] = 8080,
    admin_port: Annotated[int, typer.Option(help="The loopback port for operators.")] = 8081,
    grpc_port: GrpcPort = 8082,
    data_dir: DataFolder = DEFAULT_FOLDER,
    rules: Annotated[Path | None, typer.Option(help="A YAML or JSON file of rules to apply at the start.")] = None,
    upstream: Annotated[
        list[str] | None, typer.Option(help="An app server; may be repeated. Default: a demo app.")
    ] = None,
    edges: Annotated[int, typer.Option(min=1, max=64, help="How many edges to run.")] = 1,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many workers to run.")] = 1,
    queue: Annotated[
        QueueKind,
        typer.Option(
            envvar="PENSTOCK_QUEUE",
            help="How requests are deferred. With kafka, a broker is started.",
        ),
    ] = "redis",
    dashboard: Annotated[bool, typer.Option(help="Build the dashboard, where its sources are here.")] = True,
) -> None:
    """Start the whole system on this machine and keep it running until Ctrl-C."""
    from app.local.up import UpOptions, run_up

    upstreams = tuple(upstream or ())
    run_up(UpOptions(port, admin_port, grpc_port, data_dir, rules, upstreams, edges, workers, queue, dashboard))


edges_app = typer.Typer(invoke_without_command=True, help="Run an edge, which serves the data plane.")
app.add_typer(edges_app, name="edge", cls=CommandGroup)


@edges_app.callback()
def edge(
    context: typer.Context,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    reuse_port: Annotated[bool, typer.Option("--reuse-port", help="Share the port with other edges.")] = False,
    ops_host: OpsHost = None,
    ops_port: OpsPort = 0,
) -> None:
    """Run an edge, which serves the data plane."""
    if context.invoked_subcommand is None:
        _run("edge", ops_host, ops_port, Listen(host, port, reuse_port), drains=True)


@edges_app.command("restart")
def restart_edge(
    index: Annotated[int | None, typer.Argument(help="Which edge, from 0. Default: all, one after another.")] = None,
    as_json: AsJson = False,
    data_dir: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Restart edges that `penstock up` runs; each is ready again before the next one stops."""
    from app.commands.edge import restart_edges

    restart_edges(data_dir, index, as_json=as_json)


@app.command()
def admin(
    host: Host = "127.0.0.1",
    port: Port = 8081,
    grpc_port: GrpcPort = 8082,
    ops_host: OpsHost = None,
    ops_port: OpsPort = 0,
) -> None:
    """Run the admin API, over REST and gRPC."""
    grpc_listen = Listen(host, grpc_port) if grpc_port else None
    _run("admin", ops_host, ops_port, Listen(host, port), grpc_listen=grpc_listen)


@app.command()
def worker(ops_host: OpsHost = None, ops_port: OpsPort = 0) -> None:
    """Run a worker, which sends deferred requests."""
    _run("worker", ops_host, ops_port)


@app.command()
def sync(ops_host: OpsHost = None, ops_port: OpsPort = 0) -> None:
    """Run a sync worker, which publishes rules to edges and workers."""
    _run("sync", ops_host, ops_port)


@app.command()
def issuer(
    port: Port = 8083, data_dir: DataFolder = DEFAULT_FOLDER, ops_host: OpsHost = None, ops_port: OpsPort = 0
) -> None:
    """Run the development issuer, which publishes the key of `penstock token`."""
    _run("issuer", ops_host, ops_port, Listen("127.0.0.1", port), data_dir=data_dir)


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(help="A file that does not exist yet.")], as_json: AsJson = False
) -> None:
    """Write a new key for PENSTOCK_IDENTITY_KEY_FILE into FILE, which only its owner may read."""
    from app.identity.key_file import write_new_identity_key

    write_new_identity_key(file)
    text = f"{file}: a new Ed25519 key. Give the same file to all edges and workers."
    print(json.dumps({"file": str(file)}) if as_json else text)


@app.command()
def token(
    subject: Annotated[str, typer.Argument(help="Who the token is for: its `sub`.")],
    claim: Annotated[list[str] | None, typer.Option(help="A further claim, name=value; may be repeated.")] = None,
    expires: Annotated[str, typer.Option(help="How long the token is valid, such as 90s, 15m, 1h or 7d.")] = "1h",
    admin: Annotated[str | None, typer.Option(help="A role in the admin API: viewer, operator or admin.")] = None,
    as_json: AsJson = False,
    data_dir: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Print a token of the development issuer for SUBJECT, and nothing else."""
    from app.local.development_key import DevelopmentKey, token_claims
    from app.settings import load_settings

    claims = token_claims(load_settings(), subject, parse_claims(claim or []), parse_duration(expires), admin)
    signed = DevelopmentKey.load(data_dir).sign(claims)
    print(json.dumps({"token": signed}) if as_json else signed)


@app.command()
def completion(shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="The shell.")]) -> None:
    """Print what makes a shell complete the commands, for its start-up file: `eval "$(penstock completion bash)"`."""
    _know_shells()

    shell_complete(typer.main.get_command(app), {}, "penstock", COMPLETE_VARIABLE, f"source_{shell}")


app.add_typer(rules.app, name="rules", cls=CommandGroup)
app.add_typer(drain.app, name="drain", cls=CommandGroup)
app.add_typer(flows.app, name="flows", cls=CommandGroup)
app.add_typer(jobs.app, name="jobs", cls=CommandGroup)
app.add_typer(dead_letters.app, name="dead-letters", cls=CommandGroup)
app.add_typer(operations.app, name="operations", cls=CommandGroup)
app.command()(explain)
app.command()(audit)
app.command()(status)
app.command()(top)
app.command()(dashboard)
add_connection_options(app)


def _run(
    role: str,
    ops_host: str | None,
    ops_port: int,
    listen: Listen | None = None,
    data_dir: Path | None = None,
    *,
    grpc_listen: Listen | None = None,
    drains: bool = False,
) -> None:
    _leave_out("rich")  # structlog's colours: a process writes JSON
    import structlog

    from app.process.lifecycle import run
    from app.settings import load_settings

    settings = load_settings(**({} if ops_host is None else {"ops_host": ops_host}))
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir})
    try:
        run(
            role,
            _body(role),
            settings,
            listen=listen,
            grpc_listen=grpc_listen,
            ops_port=ops_port,
            drain_s=settings.drain_s if drains else 0.0,
        )
    except PenstockError:
        raise
    except Exception as error:  # a bug, which the log must describe in full
        structlog.get_logger().exception("crashed")
        raise StartupError(f"{role} ended with {type(error).__name__}: {error}") from error


def _body(role: str) -> Any:  # noqa: ANN401 - an app.process.lifecycle.Body, which is not imported here
    from importlib.metadata import distribution

    (found,) = distribution("penstock").entry_points.select(group="penstock.processes", name=role)
    return found.load()


if __name__ == "__main__":
    main()
