"""Prints results as Markdown tables, so that terminal output can be pasted into documents."""

import sys
from collections.abc import Sequence
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.samples import Row, TargetCheck

WIDTH = 160
"""Columns to print where the output is no terminal; wide enough that no line is broken."""


def show_rates(title: str, unit: str, rows: Sequence[Row]) -> None:
    """Print the median and the range of each row over the rounds. `unit`: what is counted, such as requests or jobs."""
    latency = any(row.values("p50_us") for row in rows)
    table = _table("what", f"{unit}/s", "min to max", f"CPU a {unit.removesuffix('s')}", *(["p50"] if latency else []))
    for row in rows:
        rates, p50s = row.values("per_s"), row.values("p50_us")
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        cells = [row.name, f"{median(rates):,.0f}", spread, f"{median(row.values('cpu_us')):,.0f} us"]
        table.add_row(*cells, *([f"{median(p50s):,.0f} us" if p50s else ""] if latency else []))
    _print(title, table)


def show_targets(target_checks: Sequence[TargetCheck]) -> None:
    """Print each target, the measured value, and whether the target is met."""
    table = _table("to reach", "measured", "target", "")
    for check in target_checks:
        bound = "at least" if check.at_least else "at most"
        measured, target = (f"{number:,.3g} {check.unit}" for number in (check.value, check.target))
        if check.unit != "x":
            measured, target = (f"{number:,.0f} {check.unit}" for number in (check.value, check.target))
        table.add_row(check.what, measured, f"{bound} {target}", "met" if check.met else "missed")
    _print("", table)


def show_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table. Columns after the first are aligned to the right."""
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
