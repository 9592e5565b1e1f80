"""Cuts what came from outside, before it is shown or logged."""

MAX_EXCERPT_LENGTH = 300
_ELLIPSIS = "…"


def excerpt(text: str, max_length: int = MAX_EXCERPT_LENGTH) -> str:
    """The text, or its beginning and an ellipsis where it is longer than `max_length` characters."""
    return text if len(text) <= max_length else text[: max_length - len(_ELLIPSIS)] + _ELLIPSIS
