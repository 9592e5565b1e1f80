"""What a set of changes writes: order by revision, buckets, the index."""

from typing import Any

import orjson
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from app.rules.model import Rule, parse_rule
from sync.plan import (
    PublishedRule,
    RuleChange,
    active_digest,
    bucket_of,
    buckets_needed,
    newer_changes,
    plan_writes,
    revision_of,
)


def rule(rule_id: str = "r", **fields: Any) -> Rule:  # noqa: ANN401
    return parse_rule(
        {"rule_id": rule_id, "key_type": "user", "key_value": "u", "limit": 5, "window_seconds": 60} | fields
    )


def published(one: Rule, revision: int) -> PublishedRule:
    return PublishedRule(revision, bucket_of(one), active_digest(one))


def test_revisions_are_exact_and_in_order() -> None:
    times = [Timestamp(1_900_000_000, 1), Timestamp(1_900_000_000, 2), Timestamp(1_900_000_001, 1)]
    revisions = [revision_of(time) for time in times]
    assert revisions == sorted(set(revisions))
    assert all(int(float(revision)) == revision for revision in revisions)


def test_a_late_event_is_not_accepted() -> None:
    states = {"r": published(rule(), 10)}
    assert newer_changes([RuleChange("r", 9, rule()), RuleChange("r", 10, rule(limit=6))], states, 0) == []
    assert newer_changes([RuleChange("r", 11, rule(limit=6))], states, 0) == [RuleChange("r", 11, rule(limit=6))]


def test_what_is_published_already_may_be_written_again_where_it_was_lost() -> None:
    states = {"r": published(rule(), 10)}
    again = [RuleChange("r", 10, rule())]
    assert newer_changes(again, states, 10) == again
    assert newer_changes([RuleChange("r", 9, rule())], states, 10) == []
    lost = plan_writes(again, states, {"rule:user:u": None})
    assert [one["rule_id"] for one in orjson.loads(lost.buckets["rule:user:u"])] == ["r"]
    assert lost.index == {}, "it is not counted twice"
    assert plan_writes(again, states, {"rule:user:u": b'[{"rule_id":"r"}]'}).buckets == {}


def test_nothing_older_than_the_last_full_copy_is_accepted() -> None:
    assert newer_changes([RuleChange("gone", 9, rule("gone"))], {}, 10) == []


@given(st.permutations(range(6)))
def test_of_several_changes_the_latest_counts(order: list[int]) -> None:
    changes = [RuleChange("r", revision, rule(limit=revision + 1)) for revision in order]
    assert newer_changes(changes, {}, -1) == [RuleChange("r", 5, rule(limit=6))]


def test_a_moved_rule_leaves_its_old_key() -> None:
    old, new = rule(key_value="u"), rule(key_value="v")
    states = {"r": published(old, 1)}
    change = [RuleChange("r", 2, new)]
    assert buckets_needed(change, states) == ["rule:user:u", "rule:user:v"]
    planned = plan_writes(change, states, {"rule:user:u": b'[{"rule_id":"r"},{"rule_id":"s"}]', "rule:user:v": None})
    assert planned.buckets["rule:user:u"] == b'[{"rule_id":"s"}]'
    assert [one["rule_id"] for one in orjson.loads(planned.buckets["rule:user:v"])] == ["r"]


def test_deleted_and_disabled_rules_leave_a_tombstone() -> None:
    states = {"r": published(rule(), 1)}
    for gone in (None, rule(enabled=False)):
        planned = plan_writes([RuleChange("r", 2, gone)], states, {"rule:user:u": b'[{"rule_id":"r"}]'})
        assert planned.buckets == {"rule:user:u": b""}
        assert PublishedRule.parse(planned.states["r"]) == PublishedRule(2, None, "")


def test_what_is_the_same_moves_the_revision_alone() -> None:
    planned = plan_writes(
        [RuleChange("r", 2, rule(version=9))], {"r": published(rule(), 1)}, {"rule:user:u": b'[{"rule_id":"r"}]'}
    )
    assert (planned.buckets, planned.changed_ids) == ({}, [])
    assert PublishedRule.parse(planned.states["r"]).revision == 2


def test_rules_stand_first_to_apply_first() -> None:
    rules = [
        rule("b"),
        rule("a"),
        rule("long", match={"path_prefix": "/a/b"}),
        rule("short", match={"path_prefix": "/a"}),
        rule("vip", priority=1),
    ]
    planned = plan_writes([RuleChange(one.rule_id, 1, one) for one in rules], {}, {"rule:user:u": None})
    in_order = [one["rule_id"] for one in orjson.loads(planned.buckets["rule:user:u"])]
    assert in_order == ["vip", "long", "short", "a", "b"]


def test_the_index_counts_networks_and_claims() -> None:
    changes = [
        RuleChange("n", 1, rule("n", key_type="ip", key_value="10.0.0.0/8")),
        RuleChange("m", 1, rule("m", key_type="ip", key_value="11.0.0.0/8")),
        RuleChange("s", 1, rule("s", key_type="ip", key_value="2001:db8::/48")),
        RuleChange("c", 1, rule("c", key_type="claim:tier:x", key_value="gold")),
        RuleChange("d", 1, rule("d", key_type="claim:role", key_value="a:b")),
        RuleChange("i", 1, rule("i", key_type="ip", key_value="10.0.0.1")),
    ]
    names = buckets_needed(changes, {})
    assert plan_writes(changes, {}, dict.fromkeys(names)).index == {
        "net4:8": 2,
        "net6:48": 1,
        "claim:tier:x": 1,
        "claim:role": 1,
    }
    states = {"n": published(rule("n", key_type="ip", key_value="10.0.0.0/8"), 1)}
    assert plan_writes([RuleChange("n", 2, None)], states, {"rule:ip:10.0.0.0/8": None}).index == {"net4:8": -1}
