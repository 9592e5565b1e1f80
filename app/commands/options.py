"""Options that several commands have."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from app.commands.installation import Installation, in_folder
from app.errors import InvalidInput, NotFound
from app.web.excerpt import one_line

DEFAULT_FOLDER = Path(".penstock")

DataFolder = Annotated[
    Path, typer.Option("--data-dir", envvar="PENSTOCK_DATA_DIR", help="The data directory of the installation.")
]
"""For commands that use what `penstock up` keeps there."""

DEFAULT_DATA_DIR = Installation(DEFAULT_FOLDER)

DataDir = Annotated[
    Installation,
    typer.Option(
        "--data-dir",
        envvar="PENSTOCK_DATA_DIR",
        parser=in_folder,
        metavar="PATH",
        help="The data directory of the installation.",
    ),
]
"""For commands that call the admin API; `add_connection_options` gives them further options."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


MAX_PARTITIONS = 4096
"""As many as `PENSTOCK_QUEUE_PARTITIONS` may be: a command does not know the setting of the installation."""


def parse_rule_id(text: str) -> str:
    """Return what can be the id of a rule. Raises InvalidInput."""
    from app.rules.field_types import RULE_ID_PATTERN

    if not re.fullmatch(RULE_ID_PATTERN, text):
        raise InvalidInput(f"{one_line(repr(text), 80)} is not the id of a rule: it has 1 to 64 of a-z, 0-9, _ and -")
    return text


def _job_id(text: str) -> str:
    from app.jobs.model import is_job_id

    if not is_job_id(text, MAX_PARTITIONS):
        raise InvalidInput(f"{one_line(repr(text), 80)} is not the id of a job")
    return text


RuleIdArgument = Annotated[str, typer.Argument(metavar="RULE_ID", parser=parse_rule_id, help="The id of a rule.")]
FlowIdArgument = Annotated[
    str, typer.Argument(metavar="FLOW_ID", help="The id of a flow, as `penstock flows list` shows it.")
]
JobIdArgument = Annotated[str, typer.Argument(metavar="JOB_ID", parser=_job_id, help="The id of a job.")]
JobIdsArgument = Annotated[list[str], typer.Argument(metavar="JOB_IDS...", parser=_job_id, help="The ids of the jobs.")]
OptionalJobIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="[JOB_IDS]...", parser=_job_id, help="The ids of the jobs; or use --rule."),
]
RuleOption = Annotated[
    str | None,
    typer.Option("--rule", metavar="RULE_ID", parser=parse_rule_id, help="Only dead letters of this rule."),
]


def parse_claims(values: Iterable[str]) -> dict[str, str]:
    """Parse claims that are written `name=value`. Raises InvalidInput."""
    claims = {}
    for text in values:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InvalidInput(f"{one_line(repr(text), 80)} is not a claim: write it as name=value")
        claims[name] = value
    return claims


def parse_headers(values: Iterable[str]) -> dict[str, str]:
    """Parse headers that are written `name=value`. Raises InvalidInput, without the text: it may be a secret."""
    pairs = [text.partition("=") for text in values]
    if not all(name and separator for name, separator, _ in pairs):
        raise InvalidInput("a header must be written as name=value")
    return {name: value for name, _, value in pairs}


def flow_id_of(rule_id: str, descriptor: str) -> str:
    """Return the id of the flows of a descriptor under a rule. Raises InvalidInput for what is no descriptor."""
    from app.queue.flow_name import flow_id, flow_of_id

    flow = flow_id(f"{rule_id}|{descriptor}")
    try:
        flow_of_id(flow)
    except NotFound:
        text = one_line(repr(descriptor), 80)
        raise InvalidInput(f"{text} is not a descriptor: write it as `penstock flows list` does, user:alice") from None
    return flow
