"""Which rules apply to a request."""

from typing import Any

import pytest

from app.identity.caller import Caller
from app.rules.active import ActiveRule
from app.rules.key_types import KeyIndex
from app.rules.match import CandidateRules, Match, caller_keys
from app.rules.model import parse_rule
from sync.plan import bucket_of

INDEX = KeyIndex({"net4": ("24", "8"), "net6": ("32", "64"), "claim": ("tier",)})


def rule(rule_id: str, **fields: Any) -> ActiveRule:  # noqa: ANN401
    base = {"rule_id": rule_id, "key_type": "user", "key_value": "*", "limit": 5, "window_seconds": 60}
    return ActiveRule(parse_rule(base | fields), 1)


def matches(
    *rules: ActiveRule,
    sub: str | None = "u",
    claims: dict[str, Any] | None = None,
    ip: str = "10.1.2.3",
    method: str = "GET",
    paths: tuple[str, ...] = ("/",),
) -> list[tuple[str, str]]:
    caller = Caller(sub, "iss" if sub else None, claims or {}, ip)
    buckets: dict[str, list[ActiveRule]] = {}
    for one in rules:
        buckets.setdefault(str(bucket_of(one.rule)), []).append(one)
    found: tuple[Match, ...] = CandidateRules(caller_keys(caller, INDEX), buckets).matches(method, paths)
    return [(match.rule.rule_id, match.descriptor) for match in found]


def test_exact_before_any() -> None:
    assert matches(rule("any"), rule("exact", key_value="u")) == [("exact", "user:u")]
    assert matches(rule("any"), rule("exact", key_value="u"), sub="v") == [("any", "user:v")]


def test_priority_before_everything() -> None:
    assert matches(rule("any", priority=1), rule("exact", key_value="u")) == [("any", "user:u")]


def test_the_longest_network_and_one_counter_for_it_all() -> None:
    wide = rule("wide", key_type="ip", key_value="10.0.0.0/8")
    narrow = rule("narrow", key_type="ip", key_value="10.1.2.0/24")
    assert matches(wide, narrow) == [("narrow", "ip:10.1.2.0/24")]
    assert matches(wide, narrow, ip="10.9.9.9") == [("wide", "ip:10.0.0.0/8")]
    assert matches(wide, narrow, ip="11.0.0.1") == []
    assert matches(wide, narrow, rule("one", key_type="ip", key_value="10.1.2.3")) == [("one", "ip:10.1.2.3")]


def test_ipv6_by_64() -> None:
    home = rule("home", key_type="ip", key_value="2001:db8::/32")
    assert matches(home, ip="2001:db8:1:2::/64") == [("home", "ip:2001:db8::/32")]
    each = rule("each", key_type="ip", key_value="*")
    assert matches(each, ip="2001:db8:1:2::/64") == [("each", "ip:2001:db8:1:2::/64")]


def test_each_key_type_applies_in_order() -> None:
    found = matches(
        rule("ip", key_type="ip"),
        rule("claim", key_type="claim:tier", key_value="gold"),
        rule("user"),
        rule("default", key_type="default", key_value=None),
        claims={"tier": "gold"},
    )
    assert found == [("user", "user:u"), ("claim", "claim:tier:gold"), ("ip", "ip:10.1.2.3")]


@pytest.mark.parametrize("claim", [None, 7, ["gold"], ""])
def test_a_claim_counts_only_as_text(claim: object) -> None:
    assert matches(rule("claim", key_type="claim:tier", key_value="*"), claims={"tier": claim}) == []


def test_default_only_where_nothing_else_does() -> None:
    default = rule("default", key_type="default", key_value=None)
    assert matches(default) == [("default", "user:u")]
    assert matches(default, sub=None) == [("default", "ip:10.1.2.3")]
    assert matches(default, rule("user")) == [("user", "user:u")]


def test_methods_and_prefixes() -> None:
    api = rule("api", match={"path_prefix": "/api", "methods": ["POST"]})
    assert matches(api, method="POST", paths=("/api",)) == [("api", "user:u")]
    assert matches(api, method="POST", paths=("/api/x",)) == [("api", "user:u")]
    assert matches(api, method="POST", paths=("/apis",)) == []
    assert matches(api, method="GET", paths=("/api",)) == []


def test_the_longest_prefix_then_the_id() -> None:
    short, long = rule("a", match={"path_prefix": "/x"}), rule("b", match={"path_prefix": "/x/y"})
    assert matches(short, long, paths=("/x/y/z",)) == [("b", "user:u")]
    assert matches(rule("b"), rule("a")) == [("a", "user:u")]


def test_of_two_readings_of_a_path_the_stricter_rule() -> None:
    strict = rule("strict", limit=1, match={"path_prefix": "/a/b"})
    loose = rule("loose", limit=100)
    assert matches(strict, loose, paths=("/a%2fb", "/a/b")) == [("strict", "user:u")]
    assert matches(strict, loose, paths=("/a%2fc", "/a/c")) == [("loose", "user:u")]


def test_a_caller_called_star_is_nobody_special() -> None:
    assert matches(rule("any"), sub="*") == [("any", "user:%2A")]
    assert matches(rule("exact", key_value="u"), sub="*") == []


def test_callers_cannot_shape_keys() -> None:
    caller = Caller("a}|{b c;d" + "x" * 500, "iss", {}, "1.1.1.1")
    for key in caller_keys(caller, INDEX).by_type[0]:
        assert len(key.descriptor) < 140
        assert not set("{}|; ") & set(key.descriptor)
