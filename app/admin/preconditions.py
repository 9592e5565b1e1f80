"""`If-Match` and `If-None-Match`: a rule is changed only where it is what the caller thinks it is."""

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
    """`versions`: one of these must stand there; None: any, and with `must_exist` not none."""

    versions: frozenset[int] | None = None
    must_exist: bool = False
    must_be_new: bool = False

    @property
    def given(self) -> bool:
        """Whether the caller said anything: then nothing is tried again over what another wrote meanwhile."""
        return self.versions is not None or self.must_exist or self.must_be_new

    def check(self, rule_id: str, version: int) -> None:
        """Raises PreconditionFailed; `version` is 0 where there is no such rule."""
        if self.must_be_new and version:
            raise PreconditionFailed(f"There is a rule {rule_id!r} already, at version {version}.")
        if (self.must_exist or self.versions is not None) and not version:
            raise PreconditionFailed(f"There is no rule {rule_id!r}.")
        if self.versions is not None and version not in self.versions:
            raise PreconditionFailed(f"The rule {rule_id!r} is at version {version}.")


IfMatch = Annotated[
    str | None, Header(alias="If-Match", description='ETags of the rule, as in `"3"`, or `*`: there is such a rule.')
]
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="`*`: only where there is no such rule yet.")
]


def precondition(request: Request, _: IfMatch = None) -> Precondition:
    """Of a request that changes what is there. Raises MalformedRequest."""
    return _of_if_match(request.headers.getlist("if-match"))


def precondition_of_put(request: Request, _: IfMatch = None, __: IfNoneMatch = None) -> Precondition:
    """Of a request that may make something new. Raises MalformedRequest."""
    if_match, if_none_match = (request.headers.getlist(name) for name in ("if-match", "if-none-match"))
    if not if_none_match:
        return _of_if_match(if_match)
    if if_match or _whole(if_none_match) != "*":
        raise MalformedRequest("If-None-Match: only `*` is understood, and not together with If-Match.")
    return Precondition(must_be_new=True)


PreconditionOf = Annotated[Precondition, Depends(precondition)]
PreconditionOfPut = Annotated[Precondition, Depends(precondition_of_put)]


def _of_if_match(values: list[str]) -> Precondition:
    """Both headers may come in several lines (RFC 9110, 5.3): all of them count."""
    if not values:
        return Precondition()
    text = _whole(values)
    if text == "*":
        return Precondition(must_exist=True)
    if not _TAGS.fullmatch(text):
        raise MalformedRequest('If-Match must name ETags of the rule, as in `"3"`, or be `*`.')
    # Compared strongly (RFC 9110, 13.1.1): a weak tag is equal to none, nor is one that no version is written as.
    tags = re.findall(_TAG, text)
    return Precondition(frozenset(int(found[1]) for tag in tags if (found := _VERSION.fullmatch(tag))))


def _whole(values: list[str]) -> str:
    return ", ".join(values).strip(" \t")
