"""Which installation a command talks to, and the options that say it. Every command that talks to one has them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer


@dataclass(frozen=True, slots=True)
class Installation:
    """What the options of a command say about the installation. The environment or a profile says the rest."""

    data_dir: Path = Path(".penstock")
    url: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    profile: str | None = None

    def __str__(self) -> str:
        return str(self.data_dir)


def _in_folder(data_dir: "str | Installation") -> Installation:
    """Return the installation that `penstock up` runs in a data directory. typer passes the default through it too."""
    return data_dir if isinstance(data_dir, Installation) else Installation(Path(data_dir))


DEFAULT_INSTALLATION = Installation()

InstallationOption = Annotated[
    Installation,
    typer.Option(
        "--data-dir",
        envvar="PENSTOCK_DATA_DIR",
        parser=_in_folder,
        metavar="PATH",
        help="The data directory of the installation.",
    ),
]
"""For commands that call the admin API; `add_connection_options` gives them the others."""


def _connection_options(
    url: Annotated[str | None, typer.Option(help="The URL of the admin API.")] = None,
    token: Annotated[
        str | None, typer.Option(help="The token for it. Other users of this machine see it in the list of processes.")
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="A file with the token, which only you may read.")] = None,
    profile: Annotated[str | None, typer.Option(help="A profile of your configuration file.")] = None,
) -> dict[str, Any]:
    """Declares the options, and returns what they say."""
    return {"url": url, "token": token, "token_file": token_file, "profile": profile}


CONNECTION_OPTIONS = inspect.signature(_connection_options).parameters


def add_connection_options(group: typer.Typer) -> None:
    """Give the options to each command of a group, and of the groups in it, that takes an Installation."""
    for command in group.registered_commands:
        if command.callback is not None:
            command.callback = _with_connection_options(command.callback)
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            add_connection_options(inner.typer_instance)


def _with_connection_options(function: Callable[..., object]) -> Callable[..., object]:
    """Return the command with the options. What they say becomes part of the Installation that the function gets."""
    signature = inspect.signature(function)
    name = next((one.name for one in signature.parameters.values() if _is_installation(one)), None)
    if name is None or CONNECTION_OPTIONS.keys() <= signature.parameters.keys():
        return function

    @wraps(function)
    def command(**values: Any) -> object:  # noqa: ANN401 - of any options
        said = {option: values.pop(option) for option in CONNECTION_OPTIONS}
        return function(**values | {name: replace(values[name], **said)})

    parameters = [*signature.parameters.values(), *CONNECTION_OPTIONS.values()]
    vars(command)["__signature__"] = signature.replace(parameters=parameters)
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def _is_installation(parameter: inspect.Parameter) -> bool:
    return Installation in get_args(parameter.annotation)
