"""What a request costs where a rule lets it state that itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRule
from app.rules.active import ActiveRule
from app.rules.cost import with_stated_costs
from app.rules.match import Match
from app.rules.model import Rule, parse_rule, to_json
from app.web.header_numbers import number_in
from tests.support.rules import RULE

X_COST = {"header": "X-Cost", "default": 2, "max": 100}
BURST = {"limit": 100, "burst": 200}


def match(**fields: Any) -> Match:  # noqa: ANN401
    return Match(ActiveRule(parse_rule(RULE | BURST | fields), 1), "user:u")


def cost_of(*values: bytes, **cost: object) -> int:
    [priced] = with_stated_costs([match(cost=X_COST | cost)], [(b"x-cost", value) for value in values])
    return priced.cost


@pytest.mark.parametrize(
    ("values", "cost"),
    [
        ([], 2),
        ([b"1"], 1),
        ([b"7"], 7),
        ([b"007"], 7),
        ([b" 7\t"], 7),
        ([b"100"], 100),
        ([b"101"], 100),
        ([b"9" * 60_000], 100),
        ([b"0" * 60_000], 2),
        ([b"0" * 60_000 + b"5"], 5),
        ([b"0"], 2),
        ([b""], 2),
        ([b"-1"], 2),
        ([b"+1"], 2),
        ([b"1.0"], 2),
        ([b"1e2"], 2),
        ([b"0x10"], 2),
        ([b"1_0"], 2),
        ([b"5, 5"], 2),
        (["٣".encode()], 2),
        ([b"\xb2"], 2),
        ([b"5", b"5"], 5),
        ([b"5", b"6"], 2),
        ([b"5", b"x"], 2),
        ([b"500", b"600"], 2),
    ],
)
def test_only_a_clear_number_is_a_cost(values: list[bytes], cost: int) -> None:
    assert cost_of(*values) == cost


@given(st.lists(st.binary(max_size=8), max_size=3))
def test_whatever_is_stated_the_cost_is_within_its_bounds(values: list[bytes]) -> None:
    assert 1 <= cost_of(*values) <= 100
    headers = [(b"x-cost", value) for value in values]
    units = number_in(headers, b"x-cost")
    assert units is None or all(int(value) == units for value in values)


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({}, 200),
        ({"algorithm": "sliding_window"}, 100),
        ({"drain": {"limit": 1, "window_seconds": 1, "burst": 50}}, 50),
    ],
)
def test_without_max_a_request_costs_no_more_than_may_be_spent_at_once(fields: dict[str, Any], most: int) -> None:
    [priced] = with_stated_costs([match(cost={"header": "X-Cost"}, **fields)], [(b"x-cost", b"1000")])
    assert priced.cost == most


def test_each_rule_has_its_own_header() -> None:
    rules = [match(cost=X_COST), match(cost=3), match(cost={"header": "x-TOKENS", "default": 9})]
    headers = [(b"x-cost", b"5"), (b"x-tokens", b"6"), (b"cost", b"7")]
    assert [each.cost for each in with_stated_costs(rules, headers)] == [5, 3, 6]
    assert [each.cost for each in with_stated_costs(rules, [])] == [2, 3, 9]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"cost": {}}, "^cost: header or response_header: one of them is required"),
        ({"cost": {"response_header": "X Tokens"}}, "^cost.response_header: must be an HTTP token"),
        ({"cost": {"response_header": "Content-Length"}}, "^cost.response_header: must be a header that is passed on"),
        ({"cost": {"response_header": "TE"}}, "^cost.response_header: must be a header that is passed on"),
        ({"cost": {"response_header": "RateLimit"}}, "^cost.response_header: must be a header that is passed on"),
        ({"cost": {"response_header": "Penstock-Cost"}}, "^cost.response_header: must be a header that is passed on"),
        ({"cost": {"response_header": "X-T", "expose": 1}}, "^cost.expose: "),
        (
            {"cost": {"response_header": "X-T"}, "algorithm": "sliding_window"},
            "^cost.response_header: not with algorithm 'sliding_window'",
        ),
        (
            {
                "cost": {"response_header": "X-T"},
                "limits": [{"limit": 9, "window_seconds": 1, "algorithm": "sliding_window"}],
            },
            "^cost.response_header: not with limits.0.algorithm 'sliding_window'",
        ),
        ({"cost": {"header": "X Cost"}}, "^cost.header: must be an HTTP token"),
        ({"cost": X_COST | {"default": 0}}, "^cost.default: "),
        ({"cost": X_COST | {"max": 0}}, "^cost.max: "),
        ({"cost": X_COST | {"most": 5}}, "^cost.most: is not a known field"),
        ({"cost": X_COST | {"default": 101}}, r"^cost: default: must be at most max \(100\)"),
        ({"cost": X_COST | {"max": 201}}, r"^cost.max: must be at most burst \(200\)"),
        ({"cost": {"header": "X-Cost", "default": 201}}, r"^cost.default: must be at most burst \(200\)"),
        ({"cost": X_COST | {"max": 101}, "algorithm": "sliding_window"}, r"^cost.max: must be at most limit \(100\)"),
        (
            {"cost": X_COST, "drain": {"limit": 1, "window_seconds": 1, "burst": 99}},
            r"^drain.burst: must be at least cost.max \(100\)",
        ),
        ({"cost": [1]}, "^cost: Input should be a valid integer"),
        ({"cost": "1"}, "^cost: Input should be a valid integer"),
        ({"cost": True}, "^cost: Input should be a valid integer"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRule, match=problem):
        parse_rule(RULE | BURST | fields)


def test_a_rule_is_written_as_it_was_given() -> None:
    for cost in (3, X_COST, {"header": "X-Cost"}, {"response_header": "X-T", "default": 5, "expose": True}):
        rule = parse_rule(RULE | BURST | {"cost": cost})
        assert to_json(rule).get("cost") == cost
        assert Rule.model_validate_json(rule.model_dump_json(exclude_defaults=True), strict=False) == rule
    assert parse_rule(RULE | BURST | {"cost": X_COST | {"max": 100.0}}) == parse_rule(RULE | BURST | {"cost": X_COST})
