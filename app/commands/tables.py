"""Tables on the terminal: nothing is cut off, however narrow it is."""

import sys

from rich.console import Console
from rich.table import Table

UNBOUNDED_WIDTH = 1000


def print_table(table: Table) -> None:
    """Cells that are too wide fold; into a pipe a row is one line, whatever is in it."""
    for column in table.columns:
        column.overflow = "fold"
    Console(width=None if sys.stdout.isatty() else UNBOUNDED_WIDTH).print(table)
