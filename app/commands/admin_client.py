"""A client of the admin API for the command line."""

import time
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from app.commands.installation import Installation
from app.errors import (
    AdminRefusal,
    InvalidInput,
    NotFound,
    PenstockError,
    StartupError,
    Unauthenticated,
    Unavailable,
)
from app.web.excerpt import one_line

if TYPE_CHECKING:
    import ssl

    import httpx

    from app.commands.connection import Connection

TIMEOUT_S = 60.0
RETRY_INTERVAL_S = 0.5
RETRY_FOR_S = 30.0
"""How long a call that may be repeated is repeated while a store is away, for example during an election in MongoDB."""


class AdminClient:
    """Calls the admin API of an installation. `token_lifetime` is for tokens that the development issuer signs."""

    def __init__(self, installation: Installation, token_lifetime: timedelta | None = None) -> None:
        import ssl

        import httpx

        from app.commands.connection import LIFETIME_OF_A_CALL, find_connection
        from app.settings import load_settings

        connection = find_connection(installation, load_settings())
        self.url, self._token = connection.url, connection.token
        self._lifetime = token_lifetime or LIFETIME_OF_A_CALL
        # Loading the system's authorities takes longer than most commands, and only HTTPS needs them.
        tls = _trusting(connection) if self.url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False, verify=tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def call(
        self,
        method: str,
        *segments: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str | int | list[str]] | None = None,
        if_match: str | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of the answer, or None if it is empty. `segments` are those of the path below `/v1`.

        With `if_match` only what has this ETag is changed. Raises a PenstockError with the server's message.
        """
        return self._json(self._send(method, _path(segments), body, query, if_match))

    def read(self, *segments: str) -> tuple[Any, str]:
        """Return the JSON of a resource and its ETag, which is empty if it has none. Raises as `call` does."""
        response = self._send("GET", _path(segments), None, None)
        return self._json(response), response.headers.get("ETag", "")

    def listed(
        self, name: str, *segments: str, query: Mapping[str, str | int | list[str]], limit: int, page_size: int = 500
    ) -> tuple[list[Any], dict[str, Any]]:
        """Return the first `limit` members `name` of a list, of as many pages as are needed, and the last page.

        The `next` of that page says whether there are more.
        """
        found: list[Any] = []
        paging: dict[str, str | int] = {}
        while True:
            paging["limit"] = min(page_size, limit - len(found))
            page = self.call("GET", *segments, query={**query, **paging})
            found += page[name]
            if page["next"] is None or len(found) >= limit:
                return found, page
            paging["after"] = page["next"]

    def call_repeatedly(
        self,
        method: str,
        *segments: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str | int | list[str]] | None = None,
    ) -> tuple[Any, bool]:
        """Call, again and again for a while if a store is away. Return the answer and whether it took several calls."""
        until_s, again = time.monotonic() + RETRY_FOR_S, False
        while True:
            try:
                return self.call(method, *segments, body=body, query=query), again
            except Unavailable:
                if time.monotonic() > until_s:
                    raise
                again = True
                time.sleep(RETRY_INTERVAL_S)

    def _json(self, response: "httpx.Response") -> Any:  # noqa: ANN401 - JSON
        if not response.is_success:
            raise _error(response)
        try:
            return response.json() if response.content else None
        except ValueError as error:
            raise Unavailable(f"what answers at {self.url} is not the admin API") from error

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str | int | list[str]] | None,
        if_match: str | None = None,
    ) -> "httpx.Response":
        import httpx

        headers = {"Authorization": f"Bearer {self._token(self._lifetime)}"} | (
            {} if if_match is None else {"If-Match": if_match}
        )
        try:
            return self._client.request(method, self.url + path, json=body, params=query, headers=headers)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise StartupError(f"{one_line(self.url)} is not a URL that can be called: {one_line(error)}") from error
        except httpx.HTTPError as error:
            problem = f"the admin API at {self.url} does not answer: {one_line(error)}"
            raise Unavailable(f"{problem}: check the URL, and that it runs") from error


def _trusting(connection: "Connection") -> "ssl.SSLContext":
    import ssl

    try:
        context = ssl.create_default_context()
        if connection.ca_file is not None:
            context.load_verify_locations(connection.ca_file)
    except (OSError, ValueError) as error:
        raise StartupError(f"{connection.ca_file}: {one_line(error)}") from error
    return context


def _path(segments: tuple[str, ...]) -> str:
    """Return the path with each segment quoted. No segment can be read as two, as none, or as a step upwards."""
    if any(segment in {"", ".", ".."} for segment in segments):
        raise InvalidInput("an id must not be empty, `.` or `..`")
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def _error(response: "httpx.Response") -> PenstockError:
    try:
        problem = response.json()
        detail = one_line(problem["detail"], 1000)
    except (ValueError, KeyError, TypeError):
        problem, detail = {}, f"the admin API answered {response.status_code}"
    match response.status_code:
        case 404:
            return NotFound(detail)
        case 502 | 503 | 504:
            return Unavailable(detail)
        case 401:
            return Unauthenticated(f"{detail} Give a valid one by --token-file, or in your profile.")
    return AdminRefusal(detail, response.status_code, problem)
