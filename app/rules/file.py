"""Rules files: YAML or JSON, `{"rules": [...]}`."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from app.errors import InvalidRule
from app.rules.model import Rule, parse_rule
from app.rules.strict_yaml import InvalidYaml, parse_yaml
from app.web.excerpt import one_line
from app.web.strict_json import parse_json


def _as_it_is(rule: Rule) -> Rule:
    return rule


def read_rules_file(path: Path, admit: Callable[[Rule], Rule] = _as_it_is) -> list[Rule]:
    """Read all rules of a file. Raises InvalidRule, which names the file and the line or the rule that is wrong.

    `admit` returns a rule as it may be stored, or raises InvalidRule.
    """
    content = _parsed(path)
    if not isinstance(content, dict) or set(content) != {"rules"} or not isinstance(content["rules"], list):
        raise InvalidRule(f"{path}: must be an object with the one member `rules`, a list")
    rules = [_rule(path, number, fields, admit) for number, fields in enumerate(content["rules"], 1)]
    twice = [rule_id for rule_id, count in Counter(rule.rule_id for rule in rules).items() if count > 1]
    if twice:
        raise InvalidRule(f"{path}: rule_id {twice[0]!r} occurs twice")
    return rules


def _parsed(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
        return parse_json(text.encode()) if path.suffix == ".json" else parse_yaml(text)
    except OSError as error:
        raise InvalidRule(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidRule(f"{path}: byte {error.start} is not UTF-8") from error
    except InvalidYaml as error:
        raise InvalidRule(f"{path}:{error.line}:{error.column}: {one_line(str(error))}") from error
    except ValueError as error:
        raise InvalidRule(f"{path}: {one_line(str(error))}") from error


def _rule(path: Path, number: int, fields: object, admit: Callable[[Rule], Rule]) -> Rule:
    try:
        return admit(parse_rule(fields, plain_secrets=True))
    except InvalidRule as error:
        rule_id = fields.get("rule_id") if isinstance(fields, dict) else None
        name = one_line(rule_id) if isinstance(rule_id, str) else f"number {number}"
        raise InvalidRule(f"{path}: rule {name}: {error}") from error
