"""Keys: whatever a caller calls itself, it is counted by itself, and nothing it says is more than a value."""

import re
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.identity.caller import Caller
from app.jobs.model import owner_of
from app.limiter.keys import MAX_VALUE_BYTES, backlog_of, descriptor, drain_counter, escape, live_counter
from app.queue import keys as queue_keys
from app.queue.flow_name import charged_rules, decode_costs, encode_costs, flow_name, own_rule, shared_with
from app.rules.key_types import exact_bucket
from app.rules.keys import bucket
from app.rules.lookup import KeyIndex
from app.rules.match import caller_keys

LONG = "v" * 1000
HASH = sha256(LONG.encode()).hexdigest()
HARMLESS = re.compile(r"#[0-9a-f]{64}|[A-Za-z0-9@:._+/=~,!%-]*")
NASTY = [
    "*",
    "{}",
    "{a}",
    "a|b",
    "a;b",
    "a b",
    "\n",
    "\0",
    "%2A",
    "%",
    "#",
    "#" + HASH,
    "%23" + HASH,
    LONG,
    "é",
    "e\u0301",
]

values = st.one_of(
    st.sampled_from(NASTY), st.text(min_size=1, max_size=200), st.text("%#2Aa*{}:|", min_size=1, max_size=9)
)
claim_names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_:/-]{0,8}", fullmatch=True)
key_types = st.one_of(st.sampled_from(["user", "ip"]), claim_names.map("claim:{}".format))
rule_ids = st.from_regex(r"[a-z0-9_-]{1,8}", fullmatch=True)


@given(values)
@example("x" * 10_000)
@example("\u00e9" * 10_000)
def test_a_value_is_bounded_and_without_what_has_a_meaning_in_keys(value: str) -> None:
    escaped = escape(value)
    assert HARMLESS.fullmatch(escaped)
    assert len(escaped) <= MAX_VALUE_BYTES


@given(values, values)
@example(LONG, "#" + HASH)
@example(LONG, "%23" + HASH)
@example("é", "e\u0301")
def test_two_values_are_never_counted_as_one(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@given(key_types, values, key_types, values)
@example("claim:a", "b:c", "claim:a:b", "c")
def test_a_value_does_not_reach_into_another_kind(kind: str, value: str, other_kind: str, other: str) -> None:
    same = (kind, value) == (other_kind, other)
    assert (descriptor(kind, value) == descriptor(other_kind, other)) == same
    assert (exact_bucket(kind, value) == exact_bucket(other_kind, other)) == same


@given(key_types, values)
def test_a_callers_value_is_never_the_wildcard(key_type: str, value: str) -> None:
    assert exact_bucket(key_type, value) != bucket(key_type, "*")
    assert value == "*" or exact_bucket(key_type, value) == bucket(key_type, value), "a rule for that very value"


@given(values, values)
def test_a_caller_looks_only_where_its_own_rules_are(subject: str, claim: str) -> None:
    keys = caller_keys(
        Caller(subject, "iss", {"tier": claim, "sub": subject}, "192.0.2.1"), KeyIndex({"claim": ("tier",)})
    )
    assert keys.buckets == (
        exact_bucket("user", subject), "rule:user:*", exact_bucket("claim:tier", claim), "rule:claim:tier:*",
        "rule:ip:192.0.2.1", "rule:ip:*", "rule:default:",
    )  # fmt: skip


@given(rule_ids, key_types, values, rule_ids, key_types, values)
def test_no_two_share_a_counter_or_a_flow(
    rule: str, kind: str, value: str, other_rule: str, other_kind: str, other: str
) -> None:
    mine, theirs = (rule, descriptor(kind, value)), (other_rule, descriptor(other_kind, other))
    same = (rule, kind, value) == (other_rule, other_kind, other)
    for name in (live_counter, drain_counter, lambda *one: flow_name([one], "")):
        assert (name(*mine) == name(*theirs)) == same
    assert live_counter(*mine) != drain_counter(*theirs)
    assert (backlog_of(live_counter(*mine)) == backlog_of(drain_counter(*theirs))) == same


@given(rule_ids, key_types, values)
def test_a_counter_has_one_hash_tag_that_no_value_moves(rule: str, kind: str, value: str) -> None:
    counter = live_counter(rule, descriptor(kind, value))
    tag = counter.removeprefix("counter:")
    assert (tag[0], tag[-1]) == ("{", "}")
    assert not {"{", "}"} & set(tag[1:-1])
    assert backlog_of(counter) == backlog_of(drain_counter(rule, descriptor(kind, value))) == "backlog:" + tag


@given(st.lists(st.tuples(rule_ids, key_types, values, st.integers(1, 9)), min_size=1, max_size=4))
def test_charges_are_read_as_they_were_written(charges: list[tuple[str, str, str, int]]) -> None:
    charged = [(rule, descriptor(kind, value)) for rule, kind, value, _ in charges]
    costs = tuple(cost for _, _, _, cost in charges)
    flow = flow_name(charged, descriptor("user", "alice"))
    assert list(charged_rules(flow)) == charged
    assert own_rule(flow) == charged[0]
    assert decode_costs(encode_costs(costs), len(costs)) == costs
    assert not re.search(r"\s", flow + encode_costs(costs)), "records and members are split at spaces"


@pytest.mark.parametrize(
    ("charged", "caller", "name", "shared"),
    [
        ([("r", "user:a")], "user:a", "r|user:a", ""),
        ([("r", "user:a"), ("i", "ip:1")], "user:a", "r|user:a;i|ip:1", ""),
        ([("i", "ip:1")], "ip:1", "i|ip:1", ""),
        ([("i", "ip:1")], "user:a", "i|ip:1>user:a", "user:a"),
        ([("n", "ip:10.0.0.0/8"), ("r", "user:a")], "user:a", "n|ip:10.0.0.0/8;r|user:a", "user:a"),
        ([("n", "ip:10.0.0.0/8")], "ip:10.0.0.1", "n|ip:10.0.0.0/8>ip:10.0.0.1", "ip:10.0.0.1"),
    ],
)
def test_a_flow_is_one_callers(charged: list[tuple[str, str]], caller: str, name: str, shared: str) -> None:
    assert flow_name(charged, caller) == name
    assert shared_with(name) == shared


@given(values, values, values, values)
@example("a", "bc", "ab", "c")
@example("1:a", "b", "1", "ab")
def test_owners_are_told_apart_by_issuer_and_subject(iss: str, sub: str, other_iss: str, other_sub: str) -> None:
    same = (iss, sub) == (other_iss, other_sub)
    assert (owner_of(iss, sub) == owner_of(other_iss, other_sub)) == same
    assert re.fullmatch(r"[0-9a-f]{32}", owner_of(iss, sub))


@pytest.mark.parametrize(("issuer", "subject"), [(None, None), ("iss", None), (None, "sub")])
def test_nobody_owns_what_no_token_named(issuer: str | None, subject: str | None) -> None:
    assert owner_of(issuer, subject) == ""


@given(values, values)
def test_idempotency_keys_are_the_owners_own_and_bounded(key: str, other: str) -> None:
    mine, theirs = owner_of("iss", "a"), owner_of("iss", "b")
    assert queue_keys.idempotency(0, mine, key) != queue_keys.idempotency(0, theirs, key)
    assert (queue_keys.idempotency(0, mine, key) == queue_keys.idempotency(0, mine, other)) == (key == other)
    assert len(queue_keys.idempotency(0, mine, key)) < 100
