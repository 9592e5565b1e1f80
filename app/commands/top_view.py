"""What `penstock top` draws."""

from typing import TYPE_CHECKING

from app.commands.durations import format_duration
from app.commands.status_tables import summary
from app.commands.top_state import TopState

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

COLUMNS = ("rule", "caller", "depth", "oldest", "permitted/s", "actual/s", "in flight", "empty in", "state")
RATIOS = {"caller": 2, "state": 3}
"""The columns that share what the others leave."""

KEYS = "up/down: select   s: sort   p, P: pause or resume the flow, its rule   r, R: set the rate of it   q: quit"
LINES_BESIDE_FLOWS = 12


def drawing(state: TopState, height: int) -> "RenderableType":
    """Return the whole screen: rates, backlog and problems, then as many flows as there is room for."""
    from rich.console import Group
    from rich.text import Text

    lines = [Text(line) for line in summary(state.status)]
    lines += [Text(problem, style="red") for problem in state.status["problems"][:3]]
    return Group(*lines, _flows(state, max(1, height - LINES_BESIDE_FLOWS)), Text(_bottom(state)), Text(KEYS, "dim"))


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
    if state.entering is None or state.selected is None:
        return state.problem or state.message
    flow = state.selected
    whose = flow["rule_id"] if state.target == "rule" else f"{flow['rule_id']}, {flow['caller']}"
    return f"rate for {whose}, such as 50/s (Enter sets it, Esc leaves it): {state.entering}_"
