"""What a request costs where rules let it state that itself. Pure functions."""

from collections.abc import Sequence
from dataclasses import replace

from app.rules.active import ActiveRule
from app.rules.match import Match
from app.web.header_numbers import number_in
from app.web.headers import Headers

StatedCosts = tuple[int | None, ...]
"""What a request states that it costs, for each of the rules that apply to it."""


def stated_cost(rule: ActiveRule, headers: Headers) -> int | None:
    """The cost that a request states in the rule's header, at most `max`; None if it states none, or not clearly."""
    units = number_in(headers, rule.cost_header)
    return None if not units else min(units, rule.max_cost)


def stated_costs(matches: Sequence[Match], headers: Headers) -> StatedCosts:
    """What a request states for each of the rules that apply to it."""
    return tuple([stated_cost(match.rule, headers) if match.rule.cost_header else None for match in matches])


def with_costs(matches: Sequence[Match], costs: StatedCosts) -> tuple[Match, ...]:
    """The rules that apply to a request with what it states that it costs."""
    return tuple([
        match if cost is None else replace(match, stated_cost=cost) for match, cost in zip(matches, costs, strict=True)
    ])  # fmt: skip


def with_stated_costs(matches: Sequence[Match], headers: Headers) -> tuple[Match, ...]:
    """The rules that apply to a request with these headers, with what it states that it costs."""
    return with_costs(matches, stated_costs(matches, headers))
