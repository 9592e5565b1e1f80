"""Many rules that are written in one transaction, and what is deleted with them."""

from collections import Counter
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import InvalidRule
from app.rules.bounds import MAX_RULES_AT_ONCE
from app.rules.documents import DocumentKey
from app.rules.key_headers import KeyHeaders
from app.rules.model import Rule, editable_fields
from app.web.excerpt import one_line
from app.web.validation import first_problem


class RuleSet(BaseModel):
    """Rules to write, and rules and documents to delete: at most 1,000 of each."""

    model_config = ConfigDict(extra="forbid")

    rules: Annotated[list[dict[str, Any]], Field(max_length=MAX_RULES_AT_ONCE)] = []
    delete: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MAX_RULES_AT_ONCE)] = []
    """The ids of rules."""
    delete_documents: Annotated[list[str], Field(max_length=MAX_RULES_AT_ONCE)] = []
    """The `document_key` of documents that are not valid rules, as the list of rules gives it."""


def parse_rule_set(fields: dict[str, Any], key_headers: KeyHeaders) -> tuple[list[Rule], list[DocumentKey]]:
    """Check a whole request. Raises InvalidRule, InvalidInput for the first fault."""
    try:
        rule_set = RuleSet.model_validate(fields)
    except ValidationError as error:
        raise InvalidRule(first_problem(error)) from error
    rules = [_rule(number, fields, key_headers) for number, fields in enumerate(rule_set.rules, 1)]
    keys = [DocumentKey.of(rule_id) for rule_id in rule_set.delete]
    names = Counter([*(rule.rule_id for rule in rules), *(key.name for key in keys)])
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise InvalidRule(f"rule_id {one_line(twice[0])!r} occurs twice")
    return rules, [*keys, *map(DocumentKey.of_text, rule_set.delete_documents)]


def _rule(number: int, fields: dict[str, Any], key_headers: KeyHeaders) -> Rule:
    try:
        return key_headers.admit(editable_fields(fields))
    except InvalidRule as error:
        raise InvalidRule(f"rules.{number - 1}: {error}") from error
