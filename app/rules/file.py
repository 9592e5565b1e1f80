"""Rules files: YAML or JSON, `{"rules": [...]}`."""

from collections import Counter
from pathlib import Path

import yaml

from app.errors import InvalidRule
from app.rules.model import Rule, parse_rule


def read_rules_file(path: Path) -> list[Rule]:
    """Read all rules of a file; raises InvalidRule, which names the file and the rule, if any of them is invalid."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRule(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidRule(f"{path}: neither YAML nor JSON: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or set(content) != {"rules"} or not isinstance(content["rules"], list):
        raise InvalidRule(f"{path}: must be an object with the one member `rules`, a list")
    rules = [_rule(path, number, fields) for number, fields in enumerate(content["rules"], 1)]
    twice = [rule_id for rule_id, count in Counter(rule.rule_id for rule in rules).items() if count > 1]
    if twice:
        raise InvalidRule(f"{path}: rule_id {twice[0]!r} occurs twice")
    return rules


def _rule(path: Path, number: int, fields: object) -> Rule:
    try:
        return parse_rule(fields)
    except InvalidRule as error:
        name = fields.get("rule_id", f"number {number}") if isinstance(fields, dict) else f"number {number}"
        raise InvalidRule(f"{path}: rule {name}: {error}") from error
