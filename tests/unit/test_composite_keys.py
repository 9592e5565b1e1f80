"""Composite keys: one counter for each combination of values, found with few look-ups, and never mistaken."""

from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import InvalidRule
from app.identity.caller import Caller
from app.queue.flow_name import charged_rules, flow_name, shared_with
from app.rules.active import ActiveRule, decode_active, encode_active
from app.rules.composite_keys import composite_keys
from app.rules.header_values import header_values, secret_headers, used_headers
from app.rules.key_headers import KeyHeaders
from app.rules.key_types import index_fields, value_of
from app.rules.lookup import KeyIndex
from app.rules.match import CandidateRules, caller_keys
from app.rules.model import Rule, parse_rule, to_json
from app.rules.secret_values import hashed
from app.settings import Settings
from sync.plan import bucket_of

SECRET = "0123456789abcdef0123456789abcdef"
HASH = hashed(b"key-1", SECRET.encode())
HEADERS = KeyHeaders(Settings.model_validate({"key_headers": "x-api-key,x-tenant", "key_secret": SECRET}))
BOTH: dict[str, Any] = {
    "rule_id": "b",
    "key_type": ["user", "claim:tenant"],
    "key_value": ["*", "*"],
    "limit": 5,
    "window_seconds": 60,
}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"key_type": ["user"]}, "key_type: List should have at least 2 items"),
        ({"key_type": []}, "key_type: List should have at least 2 items"),
        ({"key_type": ["user", "ip", "claim:a", "claim:b", "claim:c"]}, "key_type: List should have at most 4 items"),
        ({"key_type": ["user", "user"]}, "key_type: 'user' occurs twice"),
        ({"key_type": ["user", "default"]}, "key_type.1: must be 'user', 'claim:<name>', 'header:<name>', 'ip'"),
        ({"key_type": ["user", "claim:exp"]}, "key_type.1: each new token has other times"),
        ({"key_type": ["user", "header:X-Tenant"]}, "key_type.1: write it as 'header:x-tenant'"),
        ({"key_type": ["user", ["ip"]]}, "key_type.1"),
        ({"key_type": ["user", None]}, "key_type.1"),
        ({"key_type": {"user": "*"}}, "key_type"),
        ({"key_value": "*"}, "key_value: must be one value for each part of key_type"),
        ({"key_value": ["*"]}, "key_value"),
        ({"key_value": ["*", "*", "*"]}, "key_value: must be one value for each part of key_type"),
        ({"key_value": ["*", ""]}, "key_value.1"),
        ({"key_value": None}, "key_value: required"),
        ({"key_type": "user"}, "key_value: must be one value for each part of key_type"),
        ({"key_type": "default"}, "key_value: required, except for key_type 'default'"),
        ({"key_type": ["user", "ip"], "key_value": ["*", "10.0.0.0/8"]}, "key_value: a part of a composite key is"),
        (
            {"key_type": ["user", "ip"], "key_value": ["*", "10.0.0.1/32"]},
            "key_value: a part of a composite key is",
        ),
        ({"key_type": ["user", "ip"], "key_value": ["*", "2001:db8::/32"]}, "key_value: a part of a composite key is"),
        ({"key_type": ["user", "ip"], "key_value": ["*", "2001:db8::1"]}, "key_value: IPv6 is counted by /64"),
        ({"key_type": ["user", "ip"], "key_value": ["*", "nonsense"]}, "key_value: must be an address"),
        ({"match": {"anonymous": True}}, "match.anonymous: callers without a token have no user"),
        ({"secret": True}, "secret: only with key_type 'header:<name>'"),
        ({"key_type": ["user", "header:cookie"]}, "secret: must be true for credentials such as cookie"),
        ({"key_type": ["user", "header:x-tenant"], "key_value": ["*", HASH]}, "secret: must be true"),
        (
            {"key_type": ["user", "header:x-tenant"], "key_value": ["*", "key-1"], "secret": True},
            "key_value: a secret is stored as",
        ),
    ],
)
def test_what_is_no_composite_key(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        parse_rule(BOTH | change)
    assert str(refused.value).startswith(problem)


def test_a_rule_is_read_as_it_was_written() -> None:
    rule = parse_rule(BOTH)
    assert parse_rule(to_json(rule)) == rule
    assert decode_active(encode_active(rule, 7)).rule == rule
    address = {"key_type": ["ip", "user"], "key_value": ["2001:db8::/64", "u"]}
    assert parse_rule(BOTH | address).key_value == ["2001:db8::/64", "u"]
    by_key = BOTH | {"key_type": ["ip", "header:x-api-key"], "key_value": ["*", "key-1"]}
    assert HEADERS.admit(by_key).key_value == ["*", "key-1"]
    secret = HEADERS.admit(by_key | {"secret": True})
    assert secret.key_value == ["*", HASH]
    assert HEADERS.admit(to_json(secret)) == secret
    with pytest.raises(InvalidRule, match="PENSTOCK_KEY_HEADERS"):
        HEADERS.admit(BOTH | {"key_type": ["user", "header:x-other"]})


def test_the_order_of_parts_makes_no_difference() -> None:
    one = parse_rule(BOTH | {"key_value": ["u", "acme"]})
    other = parse_rule(BOTH | {"key_type": ["claim:tenant", "user"], "key_value": ["acme", "u"]})
    assert bucket_of(one) == bucket_of(other) == "rule:claim:tenant:acme&user:u"
    assert index_fields("rule:claim:tenant:acme&user:u") == ["composite:claim:tenant=&user="]
    assert index_fields("rule:claim:a%3Ab:*&header:x-y:v:w&ip:2001:db8::/64") == [
        "composite:claim:a%3Ab*&header:x-y=&ip="
    ]


def rule(rule_id: str, **fields: Any) -> Rule:  # noqa: ANN401
    return HEADERS.admit(BOTH | {"rule_id": rule_id} | fields)


def index_of(*rules: Rule) -> KeyIndex:
    fields = [field for one in rules for field in index_fields(str(bucket_of(one)))]
    return HEADERS.usable(KeyIndex.parse({field.encode(): b"1" for field in fields}))


def matched(
    *rules: Rule,
    sub: str | None = "u",
    claims: dict[str, Any] | None = None,
    values: dict[str, bytes] | None = None,
    ip: str = "10.1.2.3",
) -> list[tuple[str, str]]:
    """What applies, as sync publishes these rules and an edge reads them."""
    index, buckets = index_of(*rules), dict[str, list[ActiveRule]]()
    for one in rules:
        buckets.setdefault(str(bucket_of(one)), []).append(ActiveRule(one, 1))
    read = header_values([(name.encode(), value) for name, value in (values or {}).items()], used_headers(index))
    caller = Caller(sub, "iss" if sub else None, claims or {}, ip, {} if read is None else HEADERS.keys(index, read))
    found = CandidateRules(caller, caller_keys(caller, index), buckets).matches("GET", ("/",))
    return [(match.rule.rule_id, match.descriptor) for match in found]


ACME = {"tenant": "acme"}


def test_one_counter_for_each_combination() -> None:
    assert matched(rule("b"), claims=ACME) == [("b", "claim:tenant:acme&user:u")]
    assert matched(rule("b"), claims={"tenant": 7}, sub="v") == [("b", "claim:tenant:7&user:v")]
    assert matched(rule("b")) == [], "without one of the values nobody is counted"
    assert matched(rule("b"), claims={"tenant": None}) == []
    assert matched(rule("b"), claims=ACME, sub=None) == []


def test_the_more_exact_first_then_the_prefix() -> None:
    any_any, u_any = rule("any-any"), rule("u-any", key_value=["u", "*"])
    any_acme, exact = rule("any-acme", key_value=["*", "acme"]), rule("exact", key_value=["u", "acme"])
    assert matched(any_any, u_any, any_acme, exact, claims=ACME) == [("exact", "claim:tenant:acme&user:u")]
    assert [name for name, _ in matched(any_any, u_any, any_acme, claims=ACME)] == ["any-acme"], "by the rule's id"
    assert [name for name, _ in matched(any_any, u_any, claims=ACME)] == ["u-any"]
    assert [name for name, _ in matched(any_any, u_any, sub="v", claims=ACME)] == ["any-any"]
    first = rule("first", priority=1)
    assert [name for name, _ in matched(first, exact, claims=ACME)] == ["first"]
    deep = rule("deep", key_value=["u", "*"], match={"path_prefix": "/"})
    assert [name for name, _ in matched(any_acme, deep, claims=ACME)] == ["deep"]


def test_composite_keys_are_key_types_of_their_own_and_come_first() -> None:
    rules = [
        rule("user", key_type="user", key_value="*"),
        rule("ip", key_type="ip", key_value="*"),
        rule("two", key_type=["user", "ip"]),
        rule("two-too"),
        rule("three", key_type=["ip", "user", "claim:tenant"], key_value=["*", "*", "*"]),
        rule("rest", key_type="default", key_value=None),
    ]
    found = [name for name, _ in matched(*rules, claims=ACME)]
    assert found == ["three", "two-too", "two", "user", "ip"]
    assert [name for name, _ in matched(rules[3], rules[5], claims=ACME)] == ["two-too"]
    assert [name for name, _ in matched(rules[3], rules[5])] == ["rest"], "the default where nothing else applies"


def test_headers_and_their_hashes_as_parts() -> None:
    by_key = rule("k", key_type=["header:x-api-key", "ip"], key_value=["*", "*"])
    assert matched(by_key, values={"x-api-key": b"k&1"}) == [("k", "header:x-api-key:k%261&ip:10.1.2.3")]
    assert matched(by_key) == []
    secret = rule("s", key_type=["header:x-api-key", "ip"], key_value=["key-1", "10.1.2.3"], secret=True)
    assert matched(secret, values={"x-api-key": b"key-1"}) == [("s", f"ip:10.1.2.3&header:x-api-key:{HASH}")]
    assert matched(secret, values={"x-api-key": HASH.encode()}) == []
    assert matched(secret, values={"x-api-key": b"key-1"}, ip="10.1.2.4") == []
    index = index_of(by_key, secret)
    assert used_headers(index) == {b"x-api-key": 0}
    assert secret_headers(index) == {"x-api-key"}
    without_key = KeyHeaders(Settings(key_headers=("x-api-key",)))
    assert without_key.usable(index).of("composite") == ("header:x-api-key*&ip*",)
    assert KeyHeaders(Settings()).usable(index).of("composite") == ()


def test_a_caller_has_at_most_sixteen_keys_of_one_type() -> None:
    kinds = ["user", "ip", "claim:a", "claim:b"]
    exact = ["u", "10.1.2.3", "1", "2"]
    rules = [
        rule(f"r{n}", key_type=kinds, key_value=["*" if n >> bit & 1 else exact[bit] for bit in range(4)])
        for n in range(16)
    ]
    others = [rule(f"o{n}", key_type=kinds, key_value=[f"u{n}", "*", "*", "*"]) for n in range(50)]
    caller = Caller("u", "iss", {"a": "1", "b": "2"}, "10.1.2.3")
    [keys] = composite_keys(index_of(*rules, *others), partial(value_of, caller=caller))
    assert len(keys) == len({key.bucket for key in keys}) == 16
    assert {key.descriptor for key in keys} == {"claim:a:1&claim:b:2&ip:10.1.2.3&user:u"}
    assert {key.bucket for key in keys} == {bucket_of(one) for one in rules}


texts = st.one_of(
    st.sampled_from(["*", "&", "a&user:b", "a", "x" * 300, "%26", ":", "="]), st.text(min_size=1, max_size=20)
)


@given(texts, texts, texts, texts)
@example("a", "b&user:c", "a&user:b", "c")
@example("*", "a", "a", "*")
def test_no_two_combinations_are_one(user: str, tenant: str, other_user: str, other_tenant: str) -> None:
    [(_, mine)] = matched(rule("b"), sub=user, claims={"tenant": tenant})
    [(_, theirs)] = matched(rule("b"), sub=other_user, claims={"tenant": other_tenant})
    assert (mine == theirs) == ((user, tenant) == (other_user, other_tenant))
    assert not set(mine) & set("{}|;>* \n\0")
    assert mine.count("&") == 1
    assert list(charged_rules(flow_name([("b", mine)], f"user:{user[:1].isalnum() and 'x'}"))) == [("b", mine)]


@given(texts, texts, texts, texts)
def test_a_rule_for_one_combination_is_for_no_other(user: str, tenant: str, other: str, other_tenant: str) -> None:
    if "*" in {user, tenant}:
        return
    exact = rule("b", key_value=[user, tenant])
    found = matched(exact, sub=other, claims={"tenant": other_tenant})
    assert bool(found) == ((user, tenant) == (other, other_tenant))


@pytest.mark.parametrize(
    ("charged", "caller", "shared"),
    [
        ([("b", "claim:tenant:acme&user:u")], "user:u", "user:u"),
        ([("b", "claim:tenant:acme&user:u"), ("r", "user:u")], "user:u", "user:u"),
        ([("r", "user:u"), ("b", "claim:tenant:acme&user:u")], "user:u", ""),
        ([("k", "header:x:1&ip:10.0.0.1"), ("i", "ip:10.0.0.1")], "ip:10.0.0.1", "ip:10.0.0.1"),
        ([("k", "ip:10.0.0.1&secret:x"), ("i", "ip:10.0.0.1")], "ip:10.0.0.1", "ip:10.0.0.1"),
        ([("i", "ip:10.0.0.1"), ("k", "header:x:1")], "ip:10.0.0.1", ""),
        ([("k", "header:x:1"), ("i", "ip:10.0.0.1")], "ip:10.0.0.1", "ip:10.0.0.1"),
        ([("k", "header:x:1"), ("n", "ip:10.0.0.0/8")], "ip:10.0.0.1", "ip:10.0.0.1"),
    ],
)
def test_whose_flow_it_is(charged: list[tuple[str, str]], caller: str, shared: str) -> None:
    assert shared_with(flow_name(charged, caller)) == shared
