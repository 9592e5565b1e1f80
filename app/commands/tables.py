"""Tables on the terminal, in which nothing is cut off."""

import sys
from collections.abc import Iterable, Sequence
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


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of texts, which have no markup."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(*header)
    for row in rows:
        table.add_row(*map(escape, row))
    print_table(table)
