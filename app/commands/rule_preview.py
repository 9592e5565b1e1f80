"""`penstock rules preview`: says what changed rules would have done to the latest real requests."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.options import AsJson
from app.commands.tables import print_table

OUTCOMES = ("forwarded", "rejected", "deferred", "blocked", "untouched")


def preview(
    file: Annotated[Path, typer.Argument(help="A YAML or JSON file of changed rules.")],
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Say what the rules of a file would have done to the requests of the last minutes. Nothing is changed.

    Each rule must exist and count the same callers. The numbers are estimates where a rule has many callers.
    """
    from app.rules.file import read_rules_file
    from app.rules.model import editable_fields, to_json

    found = {}
    with AdminClient(installation) as client:
        for rule in read_rules_file(file):
            body = editable_fields(to_json(rule))
            found[rule.rule_id] = client.call("POST", "rules", rule.rule_id, "preview", body=body)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for rule_id, answer in found.items():
        print(f"{rule_id}: {answer['summary']}")
        _print_numbers(answer)
        for note in answer["notes"]:
            print(f"  {note}")


def _print_numbers(answer: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("requests", *OUTCOMES)
    for title, by in (("as it is", answer["now"]), ("as changed", answer["then"])):
        table.add_row(title, *(_text(by[name]) for name in OUTCOMES))
    print_table(table)


def _text(estimate: dict[str, int]) -> str:
    margin = f" ± {estimate['margin']:,}" if estimate["margin"] else ""
    return f"{estimate['requests']:,}{margin}"
