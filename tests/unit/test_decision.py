"""The decision, from the rules that apply and their quotas' states."""

from typing import Any

from app.decision import Defer, Forward, Judged, Reject, charge_of, decide, frozen_charges
from app.edge.headers import rate_limit
from app.limiter.policy import QuotaState
from app.queue.model import FrozenCharge
from app.rules.active import ActiveRule
from app.rules.match import Match
from app.rules.model import parse_rule

DRAIN = {"limit": 1, "window_seconds": 1}


def judged(rule_id: str, *, refused: bool = False, backlog: bool = False, wait_us: int = 0, **fields: Any) -> Judged:  # noqa: ANN401
    base = {"rule_id": rule_id, "key_type": "user", "key_value": "*", "limit": 5, "window_seconds": 60}
    match = Match(ActiveRule(parse_rule(base | fields), 1), f"user:{rule_id}")
    return Judged(match, QuotaState(0 if refused else 3, wait_us, 2_000_000, refused, backlog))


def test_within_every_limit_it_is_forwarded() -> None:
    assert decide([judged("a"), judged("b")]) == Forward()
    assert decide([]) == Forward()


def test_where_one_rejects_it_is_refused() -> None:
    defers, rejects = judged("a", refused=True, on_limit="defer"), judged("b", refused=True)
    assert decide([defers, rejects]) == Reject((rejects,))


def test_it_is_deferred_into_the_flow_of_the_first_that_refuses() -> None:
    first = judged("a", refused=True, on_limit="defer", wait_us=5)
    second = judged("b", refused=True, on_limit="defer", wait_us=9)
    assert decide([judged("c"), first, second]) == Defer(first, 9)


def test_a_backlog_defers() -> None:
    one = judged("a", backlog=True, on_limit="defer")
    assert decide([one]) == Defer(one, 0)


def test_shadow_rules_never_enforce() -> None:
    assert decide([judged("a", refused=True, shadow=True)]) == Forward()


def test_only_flows_that_may_not_be_overtaken_heed_their_backlog() -> None:
    assert charge_of(judged("a", on_limit="defer").match).heeds_backlog
    assert not charge_of(judged("a", on_limit="defer", drain=DRAIN).match).heeds_backlog
    assert charge_of(judged("a", on_limit="defer", drain=DRAIN, queue={"overtaking": False}).match).heeds_backlog
    assert not charge_of(judged("a").match).heeds_backlog
    assert not charge_of(judged("a", on_limit="defer", shadow=True).match).heeds_backlog


def test_every_enforced_rule_is_charged_at_each_attempt() -> None:
    a, b, shadow = judged("a", cost=2), judged("b", cost=3), judged("s", shadow=True)
    matches = [one.match for one in (a, shadow, b)]
    assert frozen_charges(b.match, matches) == (FrozenCharge("b", "user:b", 3), FrozenCharge("a", "user:a", 2))


def test_headers_of_an_answer() -> None:
    headers = dict(rate_limit([judged("a"), judged("b", window_seconds=0.5), judged("s", shadow=True)]))
    assert headers == {b"ratelimit-policy": b'"a";q=5;w=60, "b";q=5', b"ratelimit": b'"a";r=3;t=2, "b";r=3;t=2'}
    assert rate_limit([]) == []


def test_a_refusal_names_no_time_that_is_later_than_its_own() -> None:
    refusing = judged("a", refused=True, wait_us=1_200_000)
    deferring = judged("c", refused=True, wait_us=3_600_000_000, on_limit="defer")
    headers = dict(rate_limit([refusing, judged("b"), deferring], retry_after_s=2))
    assert headers[b"ratelimit"] == b'"a";r=0;t=2, "b";r=3;t=2, "c";r=0'
    waiting = judged("d", backlog=True, on_limit="defer")
    assert dict(rate_limit([waiting], retry_after_s=1))[b"ratelimit"] == b'"d";r=3'
