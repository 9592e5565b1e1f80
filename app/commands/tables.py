"""Tables on the terminal, in which nothing is cut off."""

import sys

from rich.console import Console
from rich.table import Table

UNBOUNDED_WIDTH = 1000


def print_table(table: Table) -> None:
    """Print a table. On a terminal, wide cells are folded; in a pipe each row is one line."""
    for column in table.columns:
        column.overflow = "fold"
    Console(width=None if sys.stdout.isatty() else UNBOUNDED_WIDTH).print(table)
