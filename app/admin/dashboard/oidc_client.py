"""The dashboard as a client of an OpenID Connect issuer, as the settings describe it."""

from dataclasses import dataclass, field
from pathlib import Path

from app.errors import StartupError
from app.settings import Settings

MAX_SECRET_BYTES = 4096


@dataclass(frozen=True, slots=True)
class OidcClient:
    """The issuer as it names itself, and the client there. `secret` is None for a public client."""

    issuer: str
    client_id: str
    scope: str
    secret: str | None = field(default=None, repr=False)


def oidc_client(settings: Settings) -> OidcClient | None:
    """Return the client that the settings describe; None if they name no issuer. Raises StartupError."""
    issuer, client_id = settings.admin_oidc_issuer, settings.admin_oidc_client_id
    if issuer is None or client_id is None:
        return None
    secret_file = settings.admin_oidc_client_secret_file
    secret = None if secret_file is None else _secret_in(secret_file)
    return OidcClient(issuer, client_id, settings.admin_oidc_scope, secret)


def _secret_in(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            secret = opened.read(MAX_SECRET_BYTES + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"PENSTOCK_ADMIN_OIDC_CLIENT_SECRET_FILE: {file} cannot be read: {error}") from error
    if not secret or len(secret) > MAX_SECRET_BYTES:
        raise StartupError(f"PENSTOCK_ADMIN_OIDC_CLIENT_SECRET_FILE: {file} holds no secret")
    return secret
