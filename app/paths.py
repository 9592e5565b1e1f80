"""Paths as rules are matched against them."""

from urllib.parse import unquote_to_bytes

from app.errors import MalformedRequest


def path_forms(raw: bytes) -> tuple[str, ...]:
    """The path as it came and, where that differs, decoded once with repeated slashes merged.

    Raises MalformedRequest for a path that may mean another one to the app server.
    """
    if not raw.startswith(b"/"):
        raise MalformedRequest("The target must begin with a slash.")
    if b"%" not in raw and b"//" not in raw and b"/." not in raw and b"\\" not in raw:
        return (raw.decode("latin-1"),)
    decoded = unquote_to_bytes(raw)
    if b"\0" in decoded or b"\\" in decoded:
        raise MalformedRequest("The path holds a NUL or a backslash.")
    segments = decoded.split(b"/")
    if b"." in segments or b".." in segments:
        raise MalformedRequest("The path holds dot segments.")
    merged = b"/" + b"/".join(segment for segment in segments if segment)
    if decoded.endswith(b"/") and merged != b"/":
        merged += b"/"
    first, second = raw.decode("latin-1"), merged.decode("latin-1")
    return (first,) if first == second else (first, second)
