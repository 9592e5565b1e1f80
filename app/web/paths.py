"""Paths as rules are matched against them."""

import re
from urllib.parse import unquote_to_bytes

from app.errors import MalformedRequest

_DOTS = frozenset({b".", b".."})
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}")
"""A character in more bytes of UTF-8 than it needs, which a careless decoder takes for the plain one."""


def path_forms(raw: bytes) -> tuple[str, ...]:
    """The ways in which the app server may read a path, where they differ: as it came; decoded once with repeated
    slashes merged; and that without the parameters of its segments (`/a;b` as `/a`).

    Raises MalformedRequest for a path that may mean another one to the app server.
    """
    if not raw.startswith(b"/"):
        raise MalformedRequest("The target must begin with a slash.")
    if b"%" not in raw and b"//" not in raw and b"/." not in raw and b"\\" not in raw and b";" not in raw:
        return (raw.decode("latin-1"),)
    decoded = unquote_to_bytes(raw)
    if b"\0" in decoded or b"\\" in decoded:
        raise MalformedRequest("The path holds a NUL or a backslash.")
    if _OVERLONG.search(decoded):
        raise MalformedRequest("The path holds an overlong character.")
    segments = decoded.split(b"/")
    bare = [segment.partition(b";")[0] for segment in segments]
    if not _DOTS.isdisjoint(bare):
        raise MalformedRequest("The path holds dot segments.")
    return tuple(dict.fromkeys(form.decode("latin-1") for form in (raw, _merged(segments), _merged(bare))))


def _merged(segments: list[bytes]) -> bytes:
    merged = b"/" + b"/".join(filter(None, segments))
    return merged + b"/" if len(merged) > 1 and not segments[-1] else merged
