"""Tables on the terminal, in which nothing is cut off and no word is broken."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

UNBOUNDED_WIDTH = 1_000_000


def print_table(table: "Table") -> None:
    """Print a table. In a pipe each row is one line.

    On a terminal that is too narrow, texts are folded between words; where that is not enough, each row is a paragraph
    with a line for each cell that is not empty, so that an id stays in one piece.
    """
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else UNBOUNDED_WIDTH)
    if _fit(console, table) or not table.row_count:
        console.print(table)
    else:
        _print_paragraphs(console, table)


def _fit(console: "Console", table: "Table") -> bool:
    """Make columns narrower until the table fits, none of them narrower than its longest word. Return whether it fits.

    rich would make the widest column narrower first, although its words may be the longest.
    """
    from rich.measure import measure_renderables

    unbounded = console.options.update(max_width=UNBOUNDED_WIDTH)
    sizes = [measure_renderables(console, unbounded, [column.header, *column.cells]) for column in table.columns]
    borders = 1 + 3 * len(sizes)
    spare = console.width - borders - sum(size.minimum for size in sizes)
    wanted = sum(size.span for size in sizes)
    if 0 <= spare < wanted:
        for column, size in zip(table.columns, sizes, strict=True):
            column.width = size.minimum + spare * size.span // wanted
    return spare >= 0


def _print_paragraphs(console: "Console", table: "Table") -> None:
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        for column, cell in zip(table.columns, cells, strict=True):
            if cell:
                console.print(f"[bold]{column.header}:[/bold] {cell}", soft_wrap=True, highlight=False)
        console.print()


def print_more(page: Mapping[str, Any], shown: int) -> None:
    """Say that a list has more than was shown, if its last page says so."""
    if page["next"] is not None:
        total = f" of {page['total']}" if "total" in page else ""
        print(f"These are the first {shown}{total}. Use --limit to list more.")


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of texts, which have no markup."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(*header)
    for row in rows:
        table.add_row(*map(escape, row))
    print_table(table)
