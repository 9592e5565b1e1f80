"""`If-Match` and `If-None-Match` (RFC 9110, section 13.1): changes a rule only if the client knows its state."""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from app.errors import MalformedRequest, PreconditionFailed

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"{_TAG}(?:[ \t]*,[ \t]*{_TAG})*")
_VERSION = re.compile(r'"([1-9][0-9]{0,15})"')


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold before a rule is changed. `versions` are those that the rule may have; None means any."""

    versions: frozenset[int] | None = None
    must_exist: bool = False
    must_be_new: bool = False

    @property
    def given(self) -> bool:
        """Whether the client set a precondition. If so, a change that lost a race is not tried again."""
        return self.versions is not None or self.must_exist or self.must_be_new

    def check(self, rule_id: str, version: int) -> None:
        """Check the precondition. `version` is 0 if there is no such rule. Raises PreconditionFailed."""
        if self.must_be_new and version:
            raise PreconditionFailed(f"There is a rule {rule_id!r} already, at version {version}.")
        if (self.must_exist or self.versions is not None) and not version:
            raise PreconditionFailed(f"There is no rule {rule_id!r}.")
        if self.versions is not None and version not in self.versions:
            raise PreconditionFailed(f"The rule {rule_id!r} is at version {version}.")


IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description='ETags such as `"3"`, or `*`, which requires that the rule exists.'),
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
        raise MalformedRequest('If-Match must be a list of ETags, such as `"3"`, or `*`.')
    # The comparison is strong (RFC 9110, section 13.1.1): a weak tag never matches, nor does one that is not a version.
    tags = re.findall(_TAG, text)
    return Precondition(frozenset(int(found[1]) for tag in tags if (found := _VERSION.fullmatch(tag))))


def _joined(values: list[str]) -> str:
    return ", ".join(values).strip(" \t")
