"""Options that several commands have."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from app.errors import InvalidInput

DEFAULT_DATA_DIR = Path(".penstock")

DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="PENSTOCK_DATA_DIR", help="The data directory of the installation.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def parse_claims(values: Iterable[str]) -> dict[str, str]:
    """Parse claims that are written `name=value`. Raises InvalidInput."""
    claims = {}
    for text in values:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InvalidInput(f"{text!r} is not a claim: write it as name=value")
        claims[name] = value
    return claims
