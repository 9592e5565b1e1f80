"""The normal form of paths, in which rules are matched.

In it a path is UTF-8 text, percent-decoded once, and repeated slashes are merged. `%25` stays encoded, so that the form
is unambiguous; so do bytes that are not UTF-8, and slashes within a segment (`%2F`). Hexadecimal digits are upper case.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from app.errors import MalformedRequest

OWN_PATH = "/_penstock"
"""Where Penstock's own API is; no rule applies to it, and app servers never get such a path."""

_DOTS = frozenset({b".", b".."})
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}")
"""An overlong encoding: a character in more bytes of UTF-8 than it needs, which lenient decoders accept."""
_UNDECODED = re.compile(f"[{chr(0xDC80)}-{chr(0xDCFF)}]")  # mypyc takes no surrogates in literals
_QUERY_OR_FRAGMENT = re.compile(r"[?#]")


def path_forms(raw: bytes) -> tuple[str, ...]:
    """The normal forms of the paths for which app servers may take a raw path.

    Mostly that is one. App servers disagree about an encoded slash (some decode it before they look for segments) and
    about parameters (some remove them, so that `/a;b` is `/a`, before or after decoding), so a path with either has a
    form for each reading. Raises MalformedRequest for a path that could mean another one, for example by dot segments.
    """
    if not raw.startswith(b"/"):
        raise MalformedRequest("The target must begin with a slash.")
    if (
        b"%" not in raw
        and b"//" not in raw
        and b"/." not in raw
        and b"\\" not in raw
        and b";" not in raw
        and raw.isascii()
    ):
        return (raw.decode("ascii"),)
    decoded = unquote_to_bytes(raw)
    _refuse_ambiguous(decoded)
    segments = raw.split(b"/")
    kept = _joined(map(unquote_to_bytes, segments))
    if b";" not in decoded and decoded.count(b"/") == len(segments) - 1:
        return (kept,)
    without_parameters = [segment.partition(b";")[0] for segment in segments]
    split_later = decoded.split(b"/")
    readings = (
        kept,
        _joined(split_later),
        _joined(segment.partition(b";")[0] for segment in split_later),
        _joined(map(unquote_to_bytes, without_parameters)),
        _joined(unquote_to_bytes(b"/".join(without_parameters)).split(b"/")),
    )
    return tuple(dict.fromkeys(readings))


def prefix_form(text: str) -> str:
    """The normal form of a rule's path prefix, without a slash at its end, which app servers treat in different ways.

    Raises ValueError for a prefix that no request's path can have.
    """
    if _QUERY_OR_FRAGMENT.search(text):
        raise ValueError("must be a path only: rules do not look at queries; '?' and '#' in a path are %3F and %23")
    try:
        raw = text.encode()
        _refuse_ambiguous(unquote_to_bytes(raw))
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8") from None
    except MalformedRequest as error:
        raise ValueError(f"no request has such a path: {error}") from None
    form = _joined(map(unquote_to_bytes, raw.split(b"/")))
    if is_own(form):
        raise ValueError(f"rules do not apply to Penstock's own paths, {OWN_PATH}/")
    return form.rstrip("/") or "/"


def is_own(path: str) -> bool:
    """Whether a path in normal form is one of Penstock's own."""
    return path.startswith(OWN_PATH) and path[len(OWN_PATH) : len(OWN_PATH) + 1] in ("", "/")


def _refuse_ambiguous(decoded: bytes) -> None:
    if b"\0" in decoded or b"\\" in decoded:
        raise MalformedRequest("The path contains a NUL or a backslash.")
    if _OVERLONG.search(decoded):
        raise MalformedRequest("The path contains an overlong UTF-8 encoding.")
    if not _DOTS.isdisjoint([segment.partition(b";")[0] for segment in decoded.split(b"/")]):
        raise MalformedRequest("The path contains dot segments.")


def _joined(decoded: Iterable[bytes]) -> str:
    """Write decoded segments as a path in normal form; an empty last one is a slash at the end."""
    segments = list(decoded)
    path = "/" + "/".join([_written(segment) for segment in segments if segment])
    return path + "/" if len(path) > 1 and not segments[-1] else path


def _written(segment: bytes) -> str:
    text = segment.replace(b"%", b"%25").replace(b"/", b"%2F").decode("utf-8", "surrogateescape")
    return text if text.isascii() else _UNDECODED.sub(_percent_encoded, text)


def _percent_encoded(escaped: re.Match[str]) -> str:
    return f"%{ord(escaped[0]) - 0xDC00:02X}"
