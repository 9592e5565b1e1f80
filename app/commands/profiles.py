"""Profiles: installations that have a name, in `penstock/config.toml` in the user's folder for configuration."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, HttpUrl, ValidationError

from app.errors import StartupError
from app.web.excerpt import one_line
from app.web.validation import first_problem


class Profile(BaseModel):
    """How to reach one installation: by the URL of its admin API, or by the data directory of `penstock up`.

    Paths are relative to the folder of the file, and may begin with `~`.
    """

    model_config = ConfigDict(extra="forbid")

    url: HttpUrl | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    data_dir: Path | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    profiles: dict[str, Profile] = {}


def config_file(environment: Mapping[str, str]) -> Path:
    """Return where the profiles are, by the XDG Base Directory Specification, which ignores relative folders."""
    folder = Path(environment.get("XDG_CONFIG_HOME", ""))
    return (folder if folder.is_absolute() else Path.home() / ".config") / "penstock" / "config.toml"


def load_profile(name: str, file: Path) -> Profile:
    """Read a profile, with absolute paths. Raises StartupError if there is none of this name, or if the file is bad."""
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & 0o022:  # who writes it may send the token anywhere
                raise StartupError(f"{file}: others can write this file: run `chmod 600 {file}`")
            profiles = _File.model_validate(tomllib.load(opened)).profiles
    except OSError as error:
        raise StartupError(f"no profile {one_line(name, 80)}: {file}: {error.strerror}") from error
    except ValidationError as error:
        raise StartupError(f"{file}: {first_problem(error)}") from error
    except (ValueError, RecursionError) as error:
        raise StartupError(f"{file}: {one_line(error)}") from error
    if name not in profiles:
        known = ", ".join(map(one_line, profiles)) or "none"
        raise StartupError(f"no profile {one_line(name, 80)}: {file} has {known}")
    return _absolute(profiles[name], file.parent)


def _absolute(profile: Profile, folder: Path) -> Profile:
    paths = {name: path for name in ("token_file", "ca_file", "data_dir") if (path := getattr(profile, name))}
    try:
        return profile.model_copy(update={name: folder / path.expanduser() for name, path in paths.items()})
    except RuntimeError as error:  # there is no such user
        raise StartupError(f"{folder}: {one_line(error)}") from error
