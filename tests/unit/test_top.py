"""What the keys of `penstock top` do, and what it draws."""

import io
from typing import Any

import pytest
from rich.console import Console

from app.commands.keyboard import keys_of
from app.commands.top_state import TopState, Wish, answered, pressed
from app.commands.top_view import drawing
from tests.support.fake_admin import answer_to

STATUS = answer_to("GET", "/v1/status")


def flow(name: str, **changed: Any) -> dict[str, Any]:  # noqa: ANN401
    fields = {"id": name, "rule_id": f"rule-{name}", "caller": f"user:{name}", "depth": 7, "in_flight": 0}
    rates = {"permitted_per_second": 2.5, "actual_per_second": None, "eta_seconds": 3700.0}
    return fields | rates | {"oldest_age_seconds": 12.0, "state": "draining", "state_detail": "draining"} | changed


FLOWS = [flow("a"), flow("b", state="paused", state_detail="paused"), flow("c")]
STATE = TopState(STATUS, FLOWS, 3)


def after(*keys: str, state: TopState = STATE) -> tuple[TopState, Wish | None]:
    wish = None
    for key in keys:
        state, wish = pressed(state, key)
    return state, wish


def selected(state: TopState) -> str:
    assert state.selected is not None
    return str(state.selected["id"])


@pytest.mark.parametrize(
    ("keys", "expected"),
    [([], "a"), (["down"], "b"), (["j", "j"], "c"), (["j"] * 9, "c"), (["down", "up"], "a"), (["up"], "a")],
    ids=range(6),
)
def test_keys_select_a_flow(keys: list[str], expected: str) -> None:
    assert selected(after(*keys)[0]) == expected


def test_the_selection_stays_with_the_flow_and_not_with_the_row() -> None:
    state, _ = after("down")
    moved = TopState(STATUS, [FLOWS[2], FLOWS[0], FLOWS[1]], 3, selected_id=state.selected_id)
    assert selected(moved) == "b"
    gone = TopState(STATUS, [FLOWS[2]], 1, selected_id=state.selected_id)
    assert selected(gone) == "c"


def test_an_answer_without_the_selected_flow_selects_the_first_one_and_stays_with_it() -> None:
    state = answered(after("down")[0], STATUS, [FLOWS[2], FLOWS[0]], 2, "")
    assert selected(state) == "c"
    assert selected(answered(state, STATUS, [FLOWS[0], FLOWS[1], FLOWS[2]], 3, "")) == "c", "also if the other returns"
    assert answered(state, STATUS, [], 0, "").selected is None


def test_a_rate_goes_to_the_flow_that_it_was_typed_for_though_that_has_gone_meanwhile() -> None:
    typing = answered(after("down", "r", *"5/s")[0], STATUS, [FLOWS[0]], 1, "")
    assert after("enter", state=typing)[1] == Wish("rate", FLOWS[1], (5, 1))


def test_a_key_pauses_what_drains_and_resumes_what_is_paused() -> None:
    assert after("p")[1] == Wish("pause", FLOWS[0])
    assert after("down", "p")[1] == Wish("resume", FLOWS[1])
    assert after("P")[1] == Wish("pause", FLOWS[0], target="rule"), "its rule, in upper case"
    assert after("q")[1] == Wish("quit")
    assert after("x")[1] is None


def test_a_rate_is_typed_for_the_flow_that_was_selected() -> None:
    state, wish = after("down", "r", *"5x", "backspace", "/", "m")
    assert (state.entering, wish) == ("5/m", None)
    state, wish = after("enter", state=state)
    assert (state.entering, wish) == (None, Wish("rate", FLOWS[1], (5, 60)))
    of_rule = after("down", "R", *"5/m", "enter")[1]
    assert of_rule == Wish("rate", FLOWS[1], (5, 60), target="rule")
    assert after("r", *"q", "escape")[0].entering is None
    assert after("r", *"q")[1] is None, "a letter of a rate is no command"
    wrong, wish = after("r", *"fast", "enter")
    assert wish is None
    assert "is no rate" in wrong.message


def test_sorts_take_turns() -> None:
    assert [after(*["s"] * count)[0].sort for count in range(4)] == ["depth", "age", "rule", "depth"]


def test_without_flows_keys_do_nothing() -> None:
    for key in ("p", "r", "up", "down"):
        assert after(key, state=TopState(STATUS)) == (TopState(STATUS), None)


@pytest.mark.parametrize("width", [40, 100, 200])
@pytest.mark.parametrize("height", [5, 24])
def test_the_drawing_fits_and_shows_what_matters(width: int, height: int) -> None:
    out = io.StringIO()
    state = after(*["down"] * 60, state=TopState(STATUS, [flow(f"[b]{number}") for number in range(100)], 100))[0]
    console = Console(file=out, width=width, height=height)
    console.print(drawing(state, console))
    text = out.getvalue()
    assert "100 flows, by depth" in text
    assert max(map(len, text.splitlines())) <= width
    if width == 200:
        assert "rule-[b]60" in text, "the selected flow is in view"
        assert "1h 1m" in text
    if height == 24:
        assert len(text.splitlines()) <= height


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (b"\x1b[A", ["up"]),
        (b"\x1bOB", ["down"]),
        (b"\r", ["enter"]),
        (b"\x1b", ["escape"]),
        (b"r5/s\r", ["r", "5", "/", "s", "enter"]),
        (b"\x1b[15~", []),
        (b"\x00\x01p", ["p"]),
    ],
    ids=range(7),
)
def test_what_a_terminal_sends_is_keys(sent: bytes, keys: list[str]) -> None:
    assert keys_of(sent) == keys
