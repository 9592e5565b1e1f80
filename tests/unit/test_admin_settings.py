"""The settings of the dashboard are checked before the admin process starts."""

from pathlib import Path

import pytest

from app.admin.dashboard.oidc_client import oidc_client
from app.errors import StartupError
from app.settings import load_settings

OIDC = {"admin_oidc_issuer": "https://issuer.example/realms/a", "admin_oidc_client_id": "dashboard"}


@pytest.mark.parametrize("path", ["", "/penstock", "/tools/penstock.v1", "/v1x", "/~ops/rate-limits"])
def test_base_paths(path: str) -> None:
    assert load_settings(admin_base_path=path).admin_base_path == path


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "penstock",
        "/penstock/",
        "//penstock",
        "/a//b",
        "/a/../b",
        "/.",
        "/a b",
        "/a%2fb",
        "/é",
        "/a?b",
        "/a#b",
        '/"><script>',
        "/a\n",
        "/v1",
        "/docs/x",
        "/assets",
        "/openapi.json",
        "https://host/penstock",
    ],
)
def test_what_is_no_base_path(path: str) -> None:
    with pytest.raises(StartupError, match="PENSTOCK_ADMIN_BASE_PATH"):
        load_settings(admin_base_path=path)


def test_an_issuer_needs_a_client() -> None:
    assert oidc_client(load_settings()) is None
    with pytest.raises(StartupError, match="PENSTOCK_ADMIN_OIDC_CLIENT_ID"):
        load_settings(admin_oidc_issuer="https://issuer.example")
    with pytest.raises(StartupError, match="PENSTOCK_ADMIN_OIDC_ISSUER"):
        load_settings(**OIDC | {"admin_oidc_issuer": "issuer.example"})
    with pytest.raises(StartupError, match="PENSTOCK_ADMIN_OIDC_SCOPE"):
        load_settings(**OIDC, admin_oidc_scope="openid  profile")


def test_the_issuer_is_named_exactly_as_it_names_itself() -> None:
    for issuer in ("https://issuer.example", "https://issuer.example/"):
        client = oidc_client(load_settings(**OIDC | {"admin_oidc_issuer": issuer}))
        assert client is not None
        assert client.issuer == issuer


def test_the_secret_is_in_a_file_and_in_no_message(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(" s3cret\n")
    client = oidc_client(load_settings(**OIDC, admin_oidc_client_secret_file=str(file)))
    assert client is not None
    assert client.secret == "s3cret"
    assert "s3cret" not in repr(client)
    for content in (b"", b"\n", b"\xff", b"x" * 5000):
        file.write_bytes(content)
        with pytest.raises(StartupError, match="PENSTOCK_ADMIN_OIDC_CLIENT_SECRET_FILE"):
            oidc_client(load_settings(**OIDC, admin_oidc_client_secret_file=str(file)))
    with pytest.raises(StartupError, match="PENSTOCK_ADMIN_OIDC_CLIENT_SECRET_FILE"):
        load_settings(**OIDC, admin_oidc_client_secret_file=str(tmp_path / "missing"))
