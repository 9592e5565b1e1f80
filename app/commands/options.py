"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_DATA_DIR = Path(".penstock")

DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="PENSTOCK_DATA_DIR", help="Where the installation keeps its data.")
]
