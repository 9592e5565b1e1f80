"""Parses JSON that every parser understands in the same way."""

import json
from typing import Any

import orjson

from app.web.excerpt import excerpt

MAX_CONTAINERS = 50_000
"""How many arrays and objects a document may have: each costs more memory and time than its two bytes suggest."""


def parse_json(text: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Parse a JSON document. Raises ValueError for anything that parsers read differently.

    That is: an encoding other than UTF-8, NaN and infinity, lone surrogates, a name that occurs twice in one object,
    nesting that is too deep, and more than `MAX_CONTAINERS` arrays and objects.
    """
    if text.count(b"[") + text.count(b"{") > MAX_CONTAINERS:
        raise ValueError(f"it has more than {MAX_CONTAINERS} arrays and objects")
    value = orjson.loads(text)
    try:
        # orjson keeps the last of several members with one name. Numbers need not be converted a second time.
        json.loads(text, object_pairs_hook=_require_unique_names, parse_int=str, parse_float=str)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _require_unique_names(members: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in members}
    if len(names) == len(members):
        return
    for name, _ in members:
        if name not in names:
            raise ValueError(f"the name {excerpt(name)!r} occurs twice in one object")
        names.remove(name)
