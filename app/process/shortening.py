"""Cuts texts that come from outside, before they are logged or become part of a message."""

from collections.abc import Mapping, MutableMapping
from typing import Any

MAX_SHOWN_CHARACTERS = 200
MAX_LOGGED_CHARACTERS = 4000
"""What a log line keeps of any one text, whoever wrote it. A traceback fits."""


def shortened(value: object, limit: int = MAX_SHOWN_CHARACTERS) -> str:
    """Return a value as text of one line, with at most `limit` characters of it and a note of how many there were."""
    text = str(value)
    start = "".join(character if character.isprintable() else " " for character in text[:limit])
    return start if len(text) <= limit else f"{start}… ({len(text)} characters)"


def shorten_logged(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Cut the texts of a log line: a processor for structlog."""
    return {name: _cut(value) for name, value in event.items()}


def _cut(value: object) -> object:
    """Cut a text but keep its lines, which a traceback needs."""
    if not isinstance(value, str) or len(value) <= MAX_LOGGED_CHARACTERS:
        return value
    return f"{value[:MAX_LOGGED_CHARACTERS]}… ({len(value)} characters)"
