"""A client of the admin API for the command line."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from app.errors import InvalidInput, NotFound, PenstockError, StartupError, Unavailable
from app.local.runtime import find_running
from app.web.excerpt import one_line

if TYPE_CHECKING:
    import httpx

    from app.settings import Settings

TIMEOUT_S = 60.0
RETRY_INTERVAL_S = 0.5
RETRY_FOR_S = 30.0
"""How long a call that may be repeated is repeated while a store is away, for example during an election in MongoDB."""


class AdminClient:
    """Calls the admin API of the running installation, or of PENSTOCK_ADMIN_URL with PENSTOCK_ADMIN_TOKEN."""

    def __init__(self, data_dir: Path) -> None:
        import ssl

        import httpx

        from app.settings import load_settings

        settings = load_settings().model_copy(update={"data_dir": data_dir})
        self._url = (
            str(settings.admin_url).rstrip("/") if settings.admin_url else find_running(data_dir).url_of("admin")
        )
        self._token = _token_source(settings)
        # Loading the system's authorities takes longer than most commands, and only HTTPS needs them.
        https = self._url.startswith("https:")
        tls = ssl.create_default_context() if https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
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
        query: Mapping[str, str | int] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of the answer, or None if it is empty. `segments` are those of the path below `/v1`.

        Raises a PenstockError with the server's message.
        """
        response = self._send(method, _path(segments), body, query)
        if not response.is_success:
            raise _error(response)
        try:
            return response.json() if response.content else None
        except ValueError as error:
            raise Unavailable(f"what answers at {self._url} is not the admin API") from error

    def call_repeatedly(
        self,
        method: str,
        *segments: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str | int] | None = None,
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

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str | int] | None
    ) -> "httpx.Response":
        import httpx

        headers = {"Authorization": f"Bearer {self._token()}"}
        try:
            return self._client.request(method, self._url + path, json=body, params=query, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise Unavailable(f"the admin API at {self._url} does not answer: {one_line(error)}") from error


def _token_source(settings: "Settings") -> Callable[[], str]:
    """Return what makes the token of a call. The development issuer signs one for each, so that none expires."""
    if (token := settings.admin_token) is not None:
        return lambda: token
    from app.local.development_key import admin_token

    return lambda: admin_token(settings)


def _path(segments: tuple[str, ...]) -> str:
    """Return the path with each segment quoted. No segment can be read as two, as none, or as a step upwards."""
    if any(segment in {"", ".", ".."} for segment in segments):
        raise InvalidInput("an id must not be empty, `.` or `..`")
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def _error(response: "httpx.Response") -> PenstockError:
    try:
        detail = one_line(response.json()["detail"], 1000)
    except (ValueError, KeyError, TypeError):
        detail = f"the admin API answered {response.status_code}"
    error_types: dict[int, type[PenstockError]] = {404: NotFound, 401: StartupError, 503: Unavailable}
    return error_types.get(response.status_code, InvalidInput)(detail)
