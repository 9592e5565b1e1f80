"""Cuts what came from outside, before it is shown or logged."""

from collections.abc import Mapping, MutableMapping
from typing import Any

MAX_EXCERPT_LENGTH = 300
MAX_LOGGED_LENGTH = 4000
"""What a log line keeps of any one text, whoever wrote it. A traceback fits."""

_ELLIPSIS = "…"


def excerpt(text: str, max_length: int = MAX_EXCERPT_LENGTH) -> str:
    """The text, or its beginning and an ellipsis where it is longer than `max_length` characters."""
    return text if len(text) <= max_length else text[: max_length - len(_ELLIPSIS)] + _ELLIPSIS


def one_line(value: object, max_length: int = MAX_EXCERPT_LENGTH) -> str:
    """An excerpt of a value's text in one line: what cannot be printed, such as a line break, is escaped."""
    text = excerpt(str(value), max_length)
    return text if text.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def cut_logged(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Cut the texts of a log line: a processor for structlog. Their line breaks stay, which a traceback needs."""
    return {
        name: excerpt(value, MAX_LOGGED_LENGTH) if isinstance(value, str) else value for name, value in event.items()
    }
