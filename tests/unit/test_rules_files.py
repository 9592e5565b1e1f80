"""Rules files are read strictly: what a reader takes for text is text, and nothing is given twice."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRule
from app.rules.file import read_rules_file
from app.rules.strict_yaml import InvalidYaml, parse_yaml

RULE = "rules:\n  - rule_id: r\n    key_type: user\n    key_value: '*'\n    limit: 5\n    window_seconds: 60\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"), ("yes", "yes"), ("no", "no"), ("on", "on"), ("2026-02-28", "2026-02-28"),
        ("2026-02-30", "2026-02-30"), ("1_000", "1_000"), ("010", 10), ("0o17", 15), ("0x1F", 31), ("-5", -5),
        ("1e3", 1000.0), (".5", 0.5), (".inf", math.inf), ("-.Inf", -math.inf), ("true", True), ("FALSE", False),
        ("~", None), ("null", None), ("", None), ("'5'", "5"), ('"true"', "true"), ("=", "="), ("!!str 5", "5"),
    ],
)  # fmt: skip
def test_a_scalar_is_read_by_the_core_schema(text: str, value: Any) -> None:  # noqa: ANN401
    assert parse_yaml(f"a: {text}") == {"a": value}


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("limit: 5\nwindow_seconds: 1\nlimit: 5000\n", 3, 1, "the key 'limit' occurs twice"),
        ("a:\n  <<: 1\n  <<: 2\n", 3, 3, "the key '<<' occurs twice"),
        ("5: x", 1, 1, "a key must be text"),
        ("a: !!timestamp 2026-01-01", 1, 4, "the tag tag:yaml.org,2002:timestamp is not supported"),
        ("a: !!python/object/apply:os.getcwd []", 1, 4, "is not supported"),
        ("a: !!int x", 1, 4, "it is no int"),
        ("a: " + "9" * 5000, 1, 4, "the number has too many digits"),
        ("[" * 100_000, 1, 1001, "nesting"),
        ("a: &x [*x]", 1, 4, "recursive"),
        ("a: [1", 2, 1, "did not find"),
        ("b: 1\na: \x01", 2, 4, "control characters"),
        ("a: 1\n---\nb: 2", 2, 1, "another document"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_wrong_has_a_place(text: str, line: int, column: int, problem: str) -> None:
    with pytest.raises(InvalidYaml, match=problem.replace("(", r"\(")) as caught:
        parse_yaml(text)
    assert (caught.value.line, caught.value.column) == (line, column)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        parse_yaml(text)
    except InvalidYaml as error:
        assert error.line >= 1
        assert error.column >= 1


def test_a_file_names_itself_the_line_and_the_column(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULE + "    limit: 5000\n")
    with pytest.raises(InvalidRule) as caught:
        read_rules_file(file)
    assert str(caught.value) == f"{file}:7:5: the key 'limit' occurs twice"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.yaml", b"rules: \xff", "byte 7 is not UTF-8"),
        ("a.json", b'{"rules": [], "rules": []}', "the name 'rules' occurs twice in one object"),
        ("a.json", b"{", "unexpected end of data"),
        ("a.yaml", b"- rule", "must be an object with the one member `rules`, a list"),
        ("a.yaml", RULE.encode() + b"    key_type2: 2026-02-30\n", "rule r: "),
        ("a.yaml", b"rules: [5]", "rule number 1: "),
        ("a.yaml", b"rules: [{rule_id: {a: b}}]", "rule number 1: "),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InvalidRule) as caught:
        read_rules_file(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    as_yaml, as_json = tmp_path / "rules.yaml", tmp_path / "rules.json"
    as_yaml.write_text(RULE)
    as_json.write_text('{"rules":\t[{"rule_id":"r","key_type":"user","key_value":"*","limit":5,"window_seconds":60}]}')
    assert read_rules_file(as_yaml) == read_rules_file(as_json)


def test_a_misspelled_field_is_named_as_such(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULE.replace("limit: 5", "limitt: 5"))
    with pytest.raises(InvalidRule) as caught:
        read_rules_file(file)
    assert str(caught.value) == f"{file}: rule r: limitt: is not a known field"
