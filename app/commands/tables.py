"""Tables on the terminal, in which nothing is cut off."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

UNBOUNDED_WIDTH = 1000


def print_table(table: "Table") -> None:
    """Print a table. On a terminal, wide cells are folded; in a pipe each row is one line."""
    from rich.console import Console

    for column in table.columns:
        column.overflow = "fold"
    Console(width=None if sys.stdout.isatty() else UNBOUNDED_WIDTH).print(table)
