"""Numbers in headers. Pure."""

from app.web.headers import Headers

MAX_DIGITS = 20
"""A number with more digits is above every bound; reading many more would take long."""


def number_in(headers: Headers, name: bytes) -> int | None:
    """The number that stands in this header, in decimal digits; None without one, or if two of them differ.

    Of a number of more than 20 digits only these are read.
    """
    found = None
    for field, value in headers:
        if field == name:
            number = _number(value)
            if number is None or (found is not None and found != number):
                return None
            found = number
    return found


def _number(value: bytes) -> int | None:
    text = value.strip(b" \t")
    if not text.isdigit():  # bytes: ASCII digits only
        return None
    digits = text.lstrip(b"0")
    return int(digits[:MAX_DIGITS] or b"0")
