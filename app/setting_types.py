"""The types of settings that are more than a number or a text: how their variables are read, and what they may be."""

import base64
import re
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, HttpUrl
from pydantic_settings import NoDecode

ASYMMETRIC_ALGORITHMS = frozenset(
    {"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"}
)

ADMIN_ROUTES = frozenset({"v1", "docs", "openapi.json", "assets"})
"""The first segments of the admin process' own paths."""

TOPIC = r"^[A-Za-z0-9._-]{1,249}$"

_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([1-9][0-9]{0,4})")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[1-9][0-9]{0,4})?")
_BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_ENVELOPE_KEY = re.compile(r"([A-Za-z0-9_-]{1,32}):([A-Za-z0-9_-]{43})=?")


def _split(value: object) -> object:
    """Lists are written as `a,b` rather than as JSON, which NoDecode leaves out."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _address(value: str) -> str:
    return str(ip_address(value))


def _envelope_keys(value: object) -> object:
    if not isinstance(value, str):
        return value
    keys: dict[str, bytes] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        match = _ENVELOPE_KEY.fullmatch(part)
        if match is None:
            raise ValueError("must be name:key, where key is 32 bytes in base64url (43 characters)")
        keys[match[1]] = base64.urlsafe_b64decode(match[2] + "=")
    return keys


def _brokers(value: tuple[str, ...]) -> tuple[str, ...]:
    for broker in value:
        match = _HOST_PORT.fullmatch(broker)
        if match is None or int(match[2]) > 65_535:
            raise ValueError(f"{broker!r} is not host:port")
    return value


def _algorithms(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or not set(value) <= ASYMMETRIC_ALGORITHMS:
        raise ValueError(f"allowed are {', '.join(sorted(ASYMMETRIC_ALGORITHMS))}")
    return value


def _header_names(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
    return tuple(name.lower().replace("_", "-") for name in value)


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    origins = tuple(origin.lower() for origin in value)
    if origins != ("*",):
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin: scheme://host or scheme://host:port, without a path")
    return origins


def _upstreams(value: tuple[HttpUrl, ...]) -> tuple[HttpUrl, ...]:
    if any(url.username or url.password or url.query or url.fragment for url in value):
        raise ValueError("the address of an app server must not have a user, query or fragment")
    return value


def _base_path(value: str) -> str:
    segments = value.split("/")[1:]
    if value and (not _BASE_PATH.fullmatch(value) or {".", ".."} & set(segments)):
        raise ValueError("must be a path such as /penstock, without a slash at its end")
    if segments and segments[0] in ADMIN_ROUTES:
        raise ValueError(f"must not begin with /{segments[0]}, which is a route of the admin process")
    return value


Address = Annotated[str, AfterValidator(_address)]
"""An IP address."""

EnvelopeKeys = Annotated[dict[str, bytes], NoDecode, BeforeValidator(_envelope_keys)]
"""`name:key,…`: 32 bytes by name."""

Brokers = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_brokers)]
"""`host:port,…`."""

Algorithms = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_algorithms)]
"""Signature algorithms, asymmetric ones only; at least one."""

Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_split)]
"""Networks of either version of IP."""

HeaderNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_header_names)]
"""Names of headers in lower case, with `-` for `_`."""

Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_origins)]
"""Origins of pages in lower case, or `*` alone."""

Upstreams = Annotated[tuple[HttpUrl, ...], NoDecode, BeforeValidator(_split), AfterValidator(_upstreams)]
"""Addresses of app servers, which may have a base path and nothing behind it."""

BasePath = Annotated[str, AfterValidator(_base_path)]
"""Empty, or the path of a reverse proxy, without a slash at its end."""
