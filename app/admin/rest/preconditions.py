"""`If-Match` and `If-None-Match` (RFC 9110, section 13.1): changes a rule only if the client knows its state."""

import re
from typing import Annotated

from fastapi import Depends, Header, Request

from app.admin.services.preconditions import Precondition
from app.errors import MalformedRequest

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"{_TAG}(?:[ \t]*,[ \t]*{_TAG})*")


IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="ETags as they were answered, or `*`, which requires that the rule exists."),
]
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="`*`, which requires that the rule does not exist yet.")
]


def precondition(request: Request, _: IfMatch = None) -> Precondition:
    """Return the precondition of a request that changes an existing rule. Raises MalformedRequest."""
    return _parse_if_match(request.headers.getlist("if-match"))


def precondition_of_put(request: Request, _: IfMatch = None, __: IfNoneMatch = None) -> Precondition:
    """Return the precondition of a request that may create a rule. Raises MalformedRequest."""
    if_match, if_none_match = (request.headers.getlist(name) for name in ("if-match", "if-none-match"))
    if not if_none_match:
        return _parse_if_match(if_match)
    if if_match or _joined(if_none_match) != "*":
        raise MalformedRequest("If-None-Match must be `*` and cannot be combined with If-Match.")
    return Precondition(must_be_new=True)


PreconditionOf = Annotated[Precondition, Depends(precondition)]
PreconditionOfPut = Annotated[Precondition, Depends(precondition_of_put)]


def _parse_if_match(values: list[str]) -> Precondition:
    """Parse If-Match. A client may send it in several lines, which are one list (RFC 9110, section 5.3)."""
    if not values:
        return Precondition()
    text = _joined(values)
    if text == "*":
        return Precondition(must_exist=True)
    if not _TAGS.fullmatch(text):
        raise MalformedRequest("If-Match must be a list of ETags in double quotes, or `*`.")
    # The comparison is strong (RFC 9110, section 13.1.1): a weak tag never equals the ETag of a rule, which is strong.
    return Precondition(frozenset(re.findall(_TAG, text)))


def _joined(values: list[str]) -> str:
    return ", ".join(values).strip(" \t")
