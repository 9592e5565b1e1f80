"""Finds the admin API and the token for it: by options, a profile, the environment, or `penstock up` on this machine.

What is nearer to the command wins: options, then the profile of `--profile`, then the environment's URL, then the
profile of the environment, then the data directory. A token goes only where it was meant to go: one of a profile to
the installation of that profile.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from pydantic import HttpUrl, TypeAdapter, ValidationError

from app.commands.installation import Installation
from app.commands.profiles import Profile, config_file, load_profile
from app.commands.token_files import is_token, read_token
from app.errors import InvalidInput, StartupError
from app.local.runtime import find_running
from app.settings import Settings
from app.web.validation import first_problem

LIFETIME_OF_A_CALL = timedelta(minutes=5)


class TokenSource(Protocol):
    """The token of each call: one that was given, or one that the development issuer signs, so that none expires."""

    def __call__(self, lifetime: timedelta = LIFETIME_OF_A_CALL) -> str:
        """Return a token. `lifetime` is how long one of the development issuer is valid. Raises StartupError."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The URL of an admin API, what makes the token of a call, and the authorities to trust besides the system's."""

    url: str
    token: TokenSource
    ca_file: Path | None = None


def find_connection(installation: Installation, settings: Settings) -> Connection:
    """Find the admin API and the token for it. Raises StartupError, and InvalidInput for wrong options."""
    given = _given_token(installation)
    if installation.url is not None:
        return Connection(_valid_url(installation.url), given or _token_of_environment(installation.data_dir, settings))
    if installation.profile is not None:
        return _by_profile(installation.profile, given, settings)
    if settings.admin_url is not None:
        url = str(settings.admin_url).rstrip("/")
        return Connection(url, given or _token_of_environment(installation.data_dir, settings))
    if settings.profile is not None:
        return _by_profile(settings.profile, given, settings)
    url = find_running(installation.data_dir).url_of("admin")
    return Connection(url, given or _token_of_environment(installation.data_dir, settings))


def is_on_this_machine(installation: Installation, settings: Settings) -> bool:
    """Whether the installation is what `penstock up` runs here, because nothing names another one."""
    named = (installation.url, installation.profile, settings.admin_url, settings.profile)
    return all(name is None for name in named)


def _by_profile(name: str, given: TokenSource | None, settings: Settings) -> Connection:
    profile = load_profile(name, config_file(os.environ))
    return Connection(_url_of(name, profile), given or _token_of(name, profile, settings), profile.ca_file)


def _url_of(name: str, profile: Profile) -> str:
    if profile.url is not None:
        return str(profile.url).rstrip("/")
    if profile.data_dir is None:
        raise StartupError(f"the profile {name} has neither `url` nor `data_dir`")
    return find_running(profile.data_dir).url_of("admin")


def _token_of(name: str, profile: Profile, settings: Settings) -> TokenSource:
    if profile.token_file is not None:
        return _fixed(read_token(profile.token_file))
    if profile.data_dir is not None:
        return _development_token(profile.data_dir, settings)
    if settings.admin_token is None and settings.admin_token_file is None:
        raise StartupError(f"the profile {name} has no `token_file`: add one, or use --token-file")
    return _token_of_environment(settings.data_dir, settings)


def _given_token(installation: Installation) -> TokenSource | None:
    """The token that the options name."""
    if installation.token is not None:
        if not is_token(installation.token):
            raise InvalidInput("--token: this is not a token")
        return _fixed(installation.token)
    return None if installation.token_file is None else _fixed(read_token(installation.token_file))


def _token_of_environment(data_dir: Path, settings: Settings) -> TokenSource:
    if settings.admin_token is not None:
        return _fixed(settings.admin_token)
    if settings.admin_token_file is not None:
        return _fixed(read_token(settings.admin_token_file))
    return _development_token(data_dir, settings)


def _fixed(token: str) -> TokenSource:
    return lambda lifetime=LIFETIME_OF_A_CALL: token


def _development_token(data_dir: Path, settings: Settings) -> TokenSource:
    from app.local.development_key import admin_token

    own = settings.model_copy(update={"data_dir": data_dir})

    def token(lifetime: timedelta = LIFETIME_OF_A_CALL) -> str:
        try:
            return admin_token(own, lifetime)
        except StartupError as error:
            problem = f"no token is given by --token-file or PENSTOCK_ADMIN_TOKEN_FILE, and {error}"
            raise StartupError(problem) from error

    return token


def _valid_url(text: str) -> str:
    try:
        return str(TypeAdapter(HttpUrl).validate_python(text)).rstrip("/")
    except ValidationError as error:
        raise InvalidInput(f"--url: {first_problem(error)}") from error
