"""The forms of a path that rules are matched against."""

import re
from urllib.parse import unquote_to_bytes

from app.errors import MalformedRequest

_DOTS = frozenset({b".", b".."})
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}")
"""An overlong encoding: a character in more bytes of UTF-8 than it needs, which lenient decoders accept."""


def path_forms(raw: bytes) -> tuple[str, ...]:
    """The different forms in which app servers may read a path.

    These are the path as it was sent; the path percent-decoded once, with repeated slashes merged; and that without the
    parameters of its segments (`/a;b` becomes `/a`). Raises MalformedRequest for a path that could mean another one,
    for example by dot segments.
    """
    if not raw.startswith(b"/"):
        raise MalformedRequest("The target must begin with a slash.")
    if b"%" not in raw and b"//" not in raw and b"/." not in raw and b"\\" not in raw and b";" not in raw:
        return (raw.decode("latin-1"),)
    decoded = unquote_to_bytes(raw)
    if b"\0" in decoded or b"\\" in decoded:
        raise MalformedRequest("The path contains a NUL or a backslash.")
    if _OVERLONG.search(decoded):
        raise MalformedRequest("The path contains an overlong UTF-8 encoding.")
    segments = decoded.split(b"/")
    bare = [segment.partition(b";")[0] for segment in segments]
    if not _DOTS.isdisjoint(bare):
        raise MalformedRequest("The path contains dot segments.")
    return tuple(dict.fromkeys(form.decode("latin-1") for form in (raw, _merged(segments), _merged(bare))))


def _merged(segments: list[bytes]) -> bytes:
    merged = b"/" + b"/".join(filter(None, segments))
    return merged + b"/" if len(merged) > 1 and not segments[-1] else merged
