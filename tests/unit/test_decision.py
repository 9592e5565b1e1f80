"""The decision, from the rules that apply and their quotas' states."""

from typing import Any

from app.decision import Defer, Forward, Reject, RuleResult, decide, frozen_charges, quotas_of
from app.edge.rate_limit_headers import rate_limit
from app.limiter.policy import QuotaState
from app.queue.model import FrozenCharge
from app.rules.active import ActiveRule
from app.rules.match import Match
from app.rules.model import parse_rule

DRAIN = {"limit": 1, "window_seconds": 1}


def rule_result(
    rule_id: str,
    *,
    refused: bool = False,
    backlog: bool = False,
    wait_us: int = 0,
    **fields: Any,  # noqa: ANN401
) -> RuleResult:
    base = {"rule_id": rule_id, "key_type": "user", "key_value": "*", "limit": 5, "window_seconds": 60}
    match = Match(ActiveRule(parse_rule(base | fields), 1), f"user:{rule_id}")
    return RuleResult(
        match, match.rule.policies[0], QuotaState(0 if refused else 3, wait_us, 2_000_000, refused, backlog)
    )


def test_within_every_limit_it_is_forwarded() -> None:
    assert decide([rule_result("a"), rule_result("b")]) == Forward()
    assert decide([]) == Forward()


def test_where_one_rejects_it_is_refused() -> None:
    defers, rejects = rule_result("a", refused=True, on_limit="defer"), rule_result("b", refused=True)
    assert decide([defers, rejects]) == Reject((rejects,))


def test_it_is_deferred_into_the_flow_of_the_first_that_refuses() -> None:
    first = rule_result("a", refused=True, on_limit="defer", wait_us=5)
    second = rule_result("b", refused=True, on_limit="defer", wait_us=9)
    assert decide([rule_result("c"), first, second]) == Defer(first, 9)


def test_a_backlog_defers() -> None:
    one = rule_result("a", backlog=True, on_limit="defer")
    assert decide([one]) == Defer(one, 0)


def test_shadow_rules_never_enforce() -> None:
    assert decide([rule_result("a", refused=True, shadow=True)]) == Forward()


def is_blocked_by_backlog(**fields: Any) -> bool:  # noqa: ANN401
    return quotas_of([rule_result("a", **fields).match]).charges[0].blocked_by_backlog


def test_only_flows_that_may_not_be_overtaken_heed_their_backlog() -> None:
    assert is_blocked_by_backlog(on_limit="defer")
    assert not is_blocked_by_backlog(on_limit="defer", drain=DRAIN)
    assert is_blocked_by_backlog(on_limit="defer", drain=DRAIN, queue={"overtaking": False})
    assert not is_blocked_by_backlog()
    assert not is_blocked_by_backlog(on_limit="defer", shadow=True)


def test_every_enforced_rule_is_charged_at_each_attempt() -> None:
    a, b, shadow = rule_result("a", cost=2), rule_result("b", cost=3), rule_result("s", shadow=True)
    matches = [one.match for one in (a, shadow, b)]
    assert frozen_charges(b.match, matches) == (FrozenCharge("b", "user:b", 3), FrozenCharge("a", "user:a", 2))


def test_headers_of_an_answer() -> None:
    headers = dict(rate_limit([rule_result("a"), rule_result("b", window_seconds=0.5), rule_result("s", shadow=True)]))
    assert headers == {b"ratelimit-policy": b'"a";q=5;w=60, "b";q=5', b"ratelimit": b'"a";r=3;t=2, "b";r=3;t=2'}
    assert rate_limit([]) == []


def test_a_refusal_names_no_time_that_is_later_than_its_own() -> None:
    refusing = rule_result("a", refused=True, wait_us=1_200_000)
    deferring = rule_result("c", refused=True, wait_us=3_600_000_000, on_limit="defer")
    headers = dict(rate_limit([refusing, rule_result("b"), deferring], retry_after_s=2))
    assert headers[b"ratelimit"] == b'"a";r=0;t=2, "b";r=3;t=2, "c";r=0'
    waiting = rule_result("d", backlog=True, on_limit="defer")
    assert dict(rate_limit([waiting], retry_after_s=1))[b"ratelimit"] == b'"d";r=3'
