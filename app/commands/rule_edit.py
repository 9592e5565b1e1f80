"""`penstock rules edit`: changes a rule in an editor, but not over what somebody else has changed meanwhile."""

import difflib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.options import AsJson, RuleIdArgument
from app.errors import AdminRefusal, InvalidRule, PenstockError, StartupError, Unavailable

CHANGED_MEANWHILE = 412

Fields = Mapping[str, Any]


def edit(
    rule_id: RuleIdArgument, as_json: AsJson = False, installation: InstallationOption = DEFAULT_INSTALLATION
) -> None:
    """Change a rule as YAML in the editor that VISUAL or EDITOR names.

    If somebody else has changed the rule meanwhile, nothing is written, and what has changed is shown.
    """
    with AdminClient(installation) as client:
        fields, etag = client.read("rules", rule_id)
        file = _new_file(rule_id)
        file.write_text(rule_text(fields), encoding="utf-8")
        try:
            written = _edited(client, rule_id, fields, etag, file)
        except StartupError:  # there is no editor, or the operator has given up in it
            file.unlink()
            raise
    file.unlink()
    if as_json:
        print(json.dumps(fields if written is None else written, indent=2))
    else:
        print(f"{rule_id}: unchanged" if written is None else f"{rule_id}: changed, as version {written['version']}")


def _edited(client: AdminClient, rule_id: str, fields: Fields, etag: str, file: Path) -> dict[str, Any] | None:
    """Let the operator edit until the rule is written, and return it; None if the text has not been changed.

    On a terminal the operator may go on after a refusal. Otherwise the text stays in the file, which the error names.
    Raises InvalidRule if the rule is refused, and Unavailable if it cannot be written now.
    """
    while True:
        _run_editor(file)
        try:
            changed = _read(file)
            if rule_text(changed) == rule_text(fields):
                return None
            answer: dict[str, Any] = client.call("PUT", "rules", rule_id, body=changed, if_match=etag)
        except PenstockError as error:
            if isinstance(error, AdminRefusal) and error.answered == CHANGED_MEANWHILE:
                fields, etag = _after_conflict(error.problem, fields, etag)
            if not (sys.stdin.isatty() and typer.confirm(f"{error} Edit again?", default=True)):
                failure = Unavailable if isinstance(error, Unavailable) else InvalidRule
                raise failure(f"{str(error).rstrip('.')}. Your text is in {file}.") from error
        else:
            return answer


def _after_conflict(problem: Fields, fields: Fields, etag: str) -> tuple[Fields, str]:
    """Show what somebody else has changed, and return the rule as it is now with its ETag."""
    current = problem.get("current")
    if current is None:
        return fields, etag
    print(difference(problem.get("based_on") or fields, current), end="")
    return current, str(problem.get("current_etag"))


def difference(before: Fields, after: Fields) -> str:
    """Return what differs between two versions of a rule, as a unified diff of their texts."""
    old_name, new_name = (
        f"version {fields.get('version')}, by {fields.get('updated_by', 'unknown')}" for fields in (before, after)
    )
    old, new = (rule_text(fields).splitlines(keepends=True) for fields in (before, after))
    return "".join(difflib.unified_diff(old, new, old_name, new_name))


def rule_text(fields: Fields) -> str:
    """Write the fields of a rule that can be edited as YAML."""
    import yaml

    from app.rules.model import editable_fields

    return str(yaml.safe_dump(editable_fields(fields), sort_keys=False, allow_unicode=True))


def _read(file: Path) -> dict[str, Any]:
    """Read what the operator has written. Raises InvalidRule."""
    from app.rules.strict_yaml import InvalidYaml, parse_yaml

    try:
        found = parse_yaml(file.read_text(encoding="utf-8"))
    except InvalidYaml as error:
        raise InvalidRule(f"Line {error.line}: {error}.") from error
    except (OSError, ValueError) as error:
        raise InvalidRule(f"The text cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidRule("The text must be the fields of one rule.")
    return found


def _new_file(rule_id: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=f"penstock-{rule_id}-", suffix=".yaml")
    os.close(descriptor)
    return Path(name)


def _run_editor(file: Path) -> None:
    """Open a file in the editor, and return when it has ended. Raises StartupError if it does not start, or fails."""
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        code = subprocess.run([*shlex.split(command), str(file)], check=False).returncode
    except (OSError, ValueError) as error:
        raise StartupError(f"the editor {command!r} does not start: {error}; set EDITOR") from error
    if code != 0:
        raise StartupError(f"the editor {command!r} ended with {code}, so nothing is changed")
