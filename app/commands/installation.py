"""Which installation a command talks to."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Installation:
    """What the options of a command say about the installation. The environment or a profile says the rest."""

    data_dir: Path = Path(".penstock")
    url: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    profile: str | None = None

    def __str__(self) -> str:
        return str(self.data_dir)


def in_folder(data_dir: "str | Installation") -> Installation:
    """Return the installation that `penstock up` runs in a data directory. typer passes the default through it too."""
    return data_dir if isinstance(data_dir, Installation) else Installation(Path(data_dir))
