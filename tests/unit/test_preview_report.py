"""The report of a preview: its numbers, its margins and its sentence."""

import random

import pytest

from app.admin.services.preview_report import merged, report
from app.rules.active import ActiveRule
from app.rules.model import parse_rule
from app.traffic.samples import Arrival, RuleSample, position_of

START_S = 1_700_000_000.0


def rule(limit: int, **fields: object) -> ActiveRule:
    base = {"rule_id": "r", "key_type": "user", "key_value": "*", "limit": limit, "window_seconds": 60}
    return ActiveRule(parse_rule(base | fields), 1)


def sample(requests: dict[str, int], share: float = 1.0) -> RuleSample:
    arrivals = {
        descriptor: [Arrival(START_S + number / 1000, 1, "GET", ("/",)) for number in range(count)]
        for descriptor, count in requests.items()
    }
    return RuleSample(share, START_S, arrivals)


def test_all_callers_give_exact_numbers() -> None:
    found = report(sample({"user:ann": 5, "user:bob": 1}), rule(10), rule(2), START_S + 60)
    assert (found.requests.requests, found.requests.margin) == (6, 0)
    assert (found.now.rejected.requests, found.then.rejected.requests, found.then.rejected.margin) == (0, 3, 0)
    assert [(one.descriptor, one.forwarded_now, one.forwarded_then) for one in found.most_affected] == [
        ("user:ann", 5, 2)
    ]
    assert found.summary == (
        "It would not have forwarded at once 3 of 6 requests of the last 60 s, of 1 of the 2 callers that were looked "
        "at; the rule as it is: 0. Most changes for user:ann."
    )
    assert found.notes == []


def test_what_is_not_known_is_said() -> None:
    found = report(sample({"user:ann": 1}), rule(2), rule(2, concurrency=1, match={"methods": ["PUT"]}), START_S + 1)
    assert found.then.untouched.requests == 1
    assert len(found.notes) == 2


def test_the_samples_of_edges_are_merged_to_what_all_of_them_have() -> None:
    one = RuleSample(1.0, START_S, {f"user:{n}": [Arrival(START_S + n, 1, "GET", ("/",))] for n in range(20)})
    other = RuleSample(0.5, START_S + 10, {f"user:{n}": [Arrival(START_S + n, 1, "GET", ("/",))] for n in range(20)})
    both = merged([one, other])
    assert (both.share, both.since_s) == (0.5, START_S + 10)
    assert both.arrivals == {
        f"user:{n}": [Arrival(START_S + n, 1, "GET", ("/",))] * 2
        for n in range(10, 20)
        if position_of(f"user:{n}") < 0.5
    }


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_the_true_number_is_within_the_margin_in_95_of_100_samples(share: float) -> None:
    chance = random.Random(7)
    requests = {f"user:{number}": chance.choice((1, 2, 3, 9)) for number in range(300)}
    true = sum(max(0, count - 2) for count in requests.values())
    within = 0
    for _ in range(100):
        chosen = {descriptor: count for descriptor, count in requests.items() if chance.random() < share}
        found = report(sample(chosen, share), rule(100), rule(2), START_S + 60).then.rejected
        assert found.margin > 0
        within += abs(found.requests - true) <= found.margin
    assert within >= 87, "of 100; 95 are expected, with a standard deviation of 2.2"
