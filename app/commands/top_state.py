"""What `penstock top` shows, and what its keys do: pure functions on one value."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from app.errors import InvalidInput
from app.rules.rate import parse_rate

SORTS = ("depth", "age", "rule")
MAX_RATE_LENGTH = 20

Action = Literal["pause", "resume", "rate", "quit"]
Target = Literal["flow", "rule"]
"""What a key acts on: the selected flow alone, or all flows of its rule."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a key asks for: an action on a flow or its rule, or the end."""

    action: Action
    flow: dict[str, Any] | None = None
    rate: tuple[int, int] | None = None
    target: Target = "flow"


@dataclass(frozen=True, slots=True)
class TopState:
    """What is shown. `status` and `flows` are as the admin API answered last.

    `entering` is a rate as far as it is typed, for the flow `rated` or its rule, as `target` says. `message` says what
    a key has done, and `problem` why the admin API has not answered since.
    """

    status: dict[str, Any]
    flows: Sequence[dict[str, Any]] = ()
    total_flows: int = 0
    sort: str = SORTS[0]
    selected_id: str | None = None
    entering: str | None = None
    rated: dict[str, Any] | None = None
    target: Target = "flow"
    message: str = ""
    problem: str = ""

    @property
    def selected(self) -> dict[str, Any] | None:
        """The selected flow, or the first one where that has gone; None without flows."""
        found = next((flow for flow in self.flows if flow["id"] == self.selected_id), None)
        return found or (self.flows[0] if self.flows else None)


def pressed(state: TopState, key: str) -> tuple[TopState, Wish | None]:
    """Return the state after a key, and what is to be done."""
    if state.entering is not None:
        return _entered(state, state.entering, key)
    wish = None
    selected = state.selected
    match key:
        case "q":
            wish = Wish("quit")
        case "s":
            state = replace(state, sort=SORTS[(SORTS.index(state.sort) + 1) % len(SORTS)], message="")
        case "up" | "k":
            state = _moved(state, -1)
        case "down" | "j":
            state = _moved(state, 1)
        case "p" | "P" if selected is not None:
            action: Action = "resume" if selected["state"] == "paused" else "pause"
            wish = Wish(action, selected, target=_target(key))
        case "r" | "R" if selected is not None:
            state = replace(state, entering="", rated=selected, target=_target(key), message="")
    return state, wish


def answered(
    state: TopState, status: dict[str, Any], flows: Sequence[dict[str, Any]], total_flows: int, problem: str
) -> TopState:
    """Return the state with what the admin API has answered. The selection stays with its flow while that is there."""
    state = replace(state, status=status, flows=flows, total_flows=total_flows, problem=problem)
    return state if state.selected is None else replace(state, selected_id=state.selected["id"])


def _target(key: str) -> Target:
    return "rule" if key.isupper() else "flow"


def _moved(state: TopState, by: int) -> TopState:
    ids = [flow["id"] for flow in state.flows]
    if state.selected is None:
        return state
    position = min(len(ids) - 1, max(0, ids.index(state.selected["id"]) + by))
    return replace(state, selected_id=ids[position], message="")


def _entered(state: TopState, text: str, key: str) -> tuple[TopState, Wish | None]:
    """A key while a rate is typed."""
    match key:
        case "escape":
            return replace(state, entering=None), None
        case "backspace":
            return replace(state, entering=text[:-1]), None
        case "enter":
            done = replace(state, entering=None)
            try:
                return done, Wish("rate", state.rated, parse_rate(text), state.target)
            except InvalidInput as error:
                return replace(done, message=str(error)), None
        case "up" | "down":
            return state, None
    return replace(state, entering=(text + key)[:MAX_RATE_LENGTH]), None
