"""The options that say which installation a command talks to. Every command that talks to one has them."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from app.commands.installation import Installation


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
