"""A client of the admin API for the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from app.errors import InvalidInput, NotFound, PenstockError, StartupError, Unavailable
from app.local.issuer import admin_token
from app.local.runtime import find_running
from app.settings import load_settings


class AdminClient:
    """Calls the admin API of the running installation, or of PENSTOCK_ADMIN_URL with PENSTOCK_ADMIN_TOKEN."""

    def __init__(self, data_dir: Path) -> None:
        settings = load_settings().model_copy(update={"data_dir": data_dir})
        self._url = (
            str(settings.admin_url).rstrip("/") if settings.admin_url else find_running(data_dir).url_of("admin")
        )
        self._token = settings.admin_token or admin_token(settings)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of the answer, or None if it is empty. Raises a PenstockError with the server's message."""
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            response = httpx.request(method, self._url + path, json=body, headers=headers, timeout=30, trust_env=False)
        except httpx.HTTPError as error:
            raise Unavailable(f"the admin API at {self._url} does not answer: {error}") from error
        if response.is_success:
            return response.json() if response.content else None
        raise _error(response)


def _error(response: httpx.Response) -> PenstockError:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = f"the admin API answered {response.status_code}"
    error_types: dict[int, type[PenstockError]] = {404: NotFound, 401: StartupError, 503: Unavailable}
    return error_types.get(response.status_code, InvalidInput)(detail)
