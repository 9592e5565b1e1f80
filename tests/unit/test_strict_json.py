"""JSON that parsers could read differently is refused; everything else has its usual value."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.strict_json import parse_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_a_document_without_ambiguity_is_parsed_as_usual(value: Any) -> None:  # noqa: ANN401 - any JSON value
    assert parse_json(orjson.dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{} {}",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b'"\xff"',
        b'"\\ud800"',
        '"a"'.encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b"[1,]",
        b"01",
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'[{"b":{"a":1,"c":2,"a":3}}]',
        b"[" * 100_000 + b"]" * 100_000,
        b"[" + b"{}," * 50_000 + b"{}]",
    ],
)
def test_an_ambiguous_document_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_the_name_that_occurs_twice_is_reported() -> None:
    with pytest.raises(ValueError, match=re.escape("the name 'b' occurs twice in one object")):
        parse_json(b'{"a":1,"b":2,"c":3,"b":4}')


def test_a_name_that_occurs_last_among_very_many_is_found_without_comparing_all_of_them() -> None:
    members = [f'"{number}":0' for number in range(200_000)]
    with pytest.raises(ValueError, match="'199999' occurs twice"):
        parse_json(("{" + ",".join([*members, members[-1]]) + "}").encode())
