"""The tables, as Markdown: what a terminal shows can be pasted into the README."""

import sys
from collections.abc import Sequence
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.samples import Row, Verdict

WIDTH = 160
"""Where no terminal says how wide it is: no line is broken."""


def show(title: str, unit: str, rows: Sequence[Row]) -> None:
    """Medians and spread of all rows; `unit` is what is counted: requests, jobs."""
    latency = any(row.values("p50_us") for row in rows)
    table = _table("what", f"{unit}/s", "min to max", f"CPU a {unit.removesuffix('s')}", *(["p50"] if latency else []))
    for row in rows:
        rates, p50s = row.values("per_s"), row.values("p50_us")
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        cells = [row.name, f"{median(rates):,.0f}", spread, f"{median(row.values('cpu_us')):,.0f} us"]
        table.add_row(*cells, *([f"{median(p50s):,.0f} us" if p50s else ""] if latency else []))
    _print(title, table)


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Each target, what was measured, and whether it is met."""
    table = _table("to reach", "measured", "target", "")
    for verdict in verdicts:
        bound = "at least" if verdict.at_least else "at most"
        measured, target = (f"{number:,.3g} {verdict.unit}" for number in (verdict.value, verdict.target))
        if verdict.unit != "x":
            measured, target = (f"{number:,.0f} {verdict.unit}" for number in (verdict.value, verdict.target))
        table.add_row(verdict.what, measured, f"{bound} {target}", "met" if verdict.met else "missed")
    _print("", table)


def show_cells(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Any other table."""
    table = _table(*head)
    for row in rows:
        table.add_row(*row)
    _print(title, table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.MARKDOWN)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _print(title: str, table: Table) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(title)
    console.print(table)
