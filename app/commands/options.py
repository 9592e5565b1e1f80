"""Arguments and options that several commands have."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands.times import parse_time
from app.errors import InvalidInput, NotFound
from app.web.excerpt import one_line

DEFAULT_FOLDER = Path(".penstock")

DataFolder = Annotated[
    Path, typer.Option("--data-dir", envvar="PENSTOCK_DATA_DIR", help="The data directory of the installation.")
]
"""For commands that use what `penstock up` keeps there."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_DESCRIPTOR = re.compile("(user|ip):[^;|>]+|(claim|header):[^:;|>]+:[^;|>]*")
"""Of one key type; a composite key joins several by `&`."""

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
OptionalJobIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="[JOB_IDS]...", parser=_job_id, help="The ids of the jobs; or say by options which."),
]


def rule_option(text: str) -> Any:  # noqa: ANN401 - typer's OptionInfo, as typer.Option itself
    """Return the option `--rule` with this help."""
    return typer.Option("--rule", metavar="RULE_ID", parser=parse_rule_id, help=text)


def time_option(name: str, text: str) -> Any:  # noqa: ANN401
    """Return an option for a point in time with this name and help."""
    how = "2026-03-01T09:00Z, or 2h for two hours ago."
    return typer.Option(name, metavar="TIME", parser=parse_time, help=f"{text}: {how}")


LimitOption = Annotated[int, typer.Option("--limit", min=1, help="How many to list at most.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only count what would be touched.")]
RateOption = Annotated[int, typer.Option("--rate", min=1, max=5000, help="How many a second at most.")]
WaitOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until it is done, or print the id of the operation.")
]
DEFAULT_RATE_PER_S = 500

Criteria = dict[str, str | int | list[str]]
"""What to look for, as the admin API takes it."""


def given(**criteria: str | int | list[str] | None) -> Criteria:
    """Return the criteria that were given."""
    return {name: value for name, value in criteria.items() if value is not None and value != []}


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
    """Return the id of the flows of a descriptor under a rule. Raises InvalidInput for what is no descriptor.

    A setting of a descriptor that does not exist would be accepted and never apply.
    """
    from app.queue.flow_name import flow_id, flow_of_id

    flow = flow_id(f"{rule_id}|{descriptor}")
    try:
        if not all(map(_DESCRIPTOR.fullmatch, descriptor.split("&"))):
            raise NotFound(descriptor)
        flow_of_id(flow)
    except NotFound:
        text = one_line(repr(descriptor), 80)
        raise InvalidInput(
            f"{text} is not a descriptor: write it as `penstock flows list` does, such as user:alice"
        ) from None
    return flow
