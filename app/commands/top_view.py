"""What `penstock top` draws."""

from typing import TYPE_CHECKING

from app.commands.durations import format_duration
from app.commands.status_tables import summary
from app.commands.top_state import TopState

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

COLUMNS = ("rule", "caller", "depth", "oldest", "permitted/s", "actual/s", "in flight", "empty in", "state")
RATIOS = {"caller": 2, "state": 3}
"""The columns that share what the others leave."""

KEYS = "up/down: select   s: sort   p, P: pause or resume the flow, its rule   r, R: set the rate of it   q: quit"
MAX_PROBLEMS = 3
LINES_OF_TABLE = 5
"""Its title, its names of columns, and its lines."""


def drawing(state: TopState, console: "Console") -> "RenderableType":
    """Return the whole screen: rates, backlog and problems, then as many flows as there is room for."""
    from rich.console import Group
    from rich.text import Text

    problems = [Text(problem["text"], style="red") for problem in state.status["problems"][:MAX_PROBLEMS]]
    above = Group(*map(Text, summary(state.status)), *problems)
    below = Group(Text(_bottom(state)), Text(KEYS, "dim"))
    taken = len(console.render_lines(above)) + len(console.render_lines(below)) + LINES_OF_TABLE
    return Group(above, _flows(state, max(1, console.height - taken)), below)


def _flows(state: TopState, rows: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    title = f"{state.total_flows} flows, by {state.sort}"
    table = Table(title=title, title_justify="left", expand=True)
    for name in COLUMNS:
        table.add_column(name, ratio=RATIOS.get(name), no_wrap=True, overflow="ellipsis")
    selected = state.selected
    first = 0 if selected is None else max(0, state.flows.index(selected) - rows + 1)
    for flow in state.flows[first : first + rows]:
        numbers = [flow[name] for name in ("permitted_per_second", "actual_per_second")]
        cells = (
            flow["rule_id"],
            flow["caller"],
            str(flow["depth"]),
            format_duration(flow["oldest_age_seconds"]),
            *("-" if number is None else f"{number:.3g}" for number in numbers),
            str(flow["in_flight"]),
            format_duration(flow["eta_seconds"]),
            flow["state_detail"],
        )
        style = "reverse" if flow is selected else ""
        table.add_row(*map(Text, cells), style=style)
    return table


def _bottom(state: TopState) -> str:
    if state.entering is None or state.rated is None:
        return state.problem or state.message
    flow = state.rated
    whose = flow["rule_id"] if state.target == "rule" else f"{flow['rule_id']}, {flow['caller']}"
    return f"rate for {whose}, such as 50/s (Enter sets it, Esc leaves it): {state.entering}_"
