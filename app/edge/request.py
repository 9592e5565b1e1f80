"""A request as the edge sees it: read once from ASGI, refused where it could be read in two ways."""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from app.errors import BodyTooLarge, MalformedRequest
from app.jobs.model import Headers

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The client went away; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """Header names are in lower case. `paths`: the forms in which the app server may read the path."""

    method: str
    target: bytes
    paths: tuple[str, ...]
    headers: Headers
    scheme: str
    peer: str
    receive: Receive

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        for found, value in self.headers:
            if found == name:
                return value
        return None

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in self.headers
        )

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; raises ClientGone."""
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if chunk := message.get("body", b""):
                yield chunk
            if not message.get("more_body", False):
                return

    async def body(self, most: int) -> bytes:
        """The whole body; raises BodyTooLarge, ClientGone."""
        declared = self.header(b"content-length")
        if declared is not None and int(declared) > most:
            raise BodyTooLarge(f"A request that is to be deferred has at most {most} bytes.")
        chunks, size = [], 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > most:
                raise BodyTooLarge(f"A request that is to be deferred has at most {most} bytes.")
            chunks.append(chunk)
        return b"".join(chunks)


def read_request(scope: MutableMapping[str, Any], receive: Receive) -> Request:
    """Raises MalformedRequest."""
    raw_path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    headers: Headers = scope["headers"]
    _require_one_framing(headers)
    return Request(
        scope["method"],
        raw_path + b"?" + query if query else raw_path,
        path_forms(raw_path),
        headers,
        scope["scheme"],
        scope["client"][0] if scope.get("client") else "",
        receive,
    )


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


def _require_one_framing(headers: Headers) -> None:
    framing = [name for name, _ in headers if name in {b"content-length", b"transfer-encoding"}]
    if len(framing) > 1:
        raise MalformedRequest("The request frames its body in more than one way.")
