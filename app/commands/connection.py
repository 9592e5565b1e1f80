"""Finds the admin API and the token for it: by options, a profile, the environment, or `penstock up` on this machine.

What is nearer to the command wins: options, then the profile of `--profile`, then the environment's URL, then the
profile of the environment, then the data directory. A token goes only where it was meant to go: one of a profile to
the installation of that profile.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import HttpUrl, TypeAdapter, ValidationError

from app.commands.installation import Installation
from app.commands.profiles import Profile, config_file, load_profile
from app.commands.token_files import is_token, read_token
from app.errors import InvalidInput, StartupError
from app.local.runtime import find_running
from app.settings import Settings
from app.web.validation import first_problem


@dataclass(frozen=True, slots=True)
class Connection:
    """The URL of an admin API, what makes the token of a call, and the authorities to trust besides the system's."""

    url: str
    token: Callable[[], str]
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


def _by_profile(name: str, given: Callable[[], str] | None, settings: Settings) -> Connection:
    profile = load_profile(name, config_file(os.environ))
    return Connection(_url_of(name, profile), given or _token_of(name, profile, settings), profile.ca_file)


def _url_of(name: str, profile: Profile) -> str:
    if profile.url is not None:
        return str(profile.url).rstrip("/")
    if profile.data_dir is None:
        raise StartupError(f"the profile {name} has neither `url` nor `data_dir`")
    return find_running(profile.data_dir).url_of("admin")


def _token_of(name: str, profile: Profile, settings: Settings) -> Callable[[], str]:
    if profile.token_file is not None:
        token = read_token(profile.token_file)
        return lambda: token
    if profile.data_dir is not None:
        return _development_token(profile.data_dir, settings)
    if settings.admin_token is None and settings.admin_token_file is None:
        raise StartupError(f"the profile {name} has no `token_file`: add one, or use --token-file")
    return _token_of_environment(settings.data_dir, settings)


def _given_token(installation: Installation) -> Callable[[], str] | None:
    """The token that the options name."""
    if installation.token is not None:
        token = installation.token
        if not is_token(token):
            raise InvalidInput("--token: this is not a token")
    elif installation.token_file is not None:
        token = read_token(installation.token_file)
    else:
        return None
    return lambda: token


def _token_of_environment(data_dir: Path, settings: Settings) -> Callable[[], str]:
    if settings.admin_token is not None:
        token = settings.admin_token
    elif settings.admin_token_file is not None:
        token = read_token(settings.admin_token_file)
    else:
        return _development_token(data_dir, settings)
    return lambda: token


def _development_token(data_dir: Path, settings: Settings) -> Callable[[], str]:
    """The development issuer signs a token for each call, so that none expires."""
    from app.local.development_key import admin_token

    own = settings.model_copy(update={"data_dir": data_dir})

    def token() -> str:
        try:
            return admin_token(own)
        except StartupError as error:
            raise StartupError(
                f"no token is given by --token-file or PENSTOCK_ADMIN_TOKEN_FILE, and {error}"
            ) from error

    return token


def _valid_url(text: str) -> str:
    try:
        return str(TypeAdapter(HttpUrl).validate_python(text)).rstrip("/")
    except ValidationError as error:
        raise InvalidInput(f"--url: {first_problem(error)}") from error
