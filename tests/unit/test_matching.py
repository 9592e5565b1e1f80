"""Which rules apply to a request."""

from typing import Any

import pytest

from app.errors import InvalidRule
from app.identity.caller import Caller
from app.rules.active import ActiveRule
from app.rules.lookup import KeyIndex
from app.rules.match import CandidateRules, Match, caller_keys
from app.rules.model import parse_rule
from app.web.paths import path_forms
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
    found: tuple[Match, ...] = CandidateRules(caller, caller_keys(caller, INDEX), buckets).matches(method, paths)
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


@pytest.mark.parametrize("claim", [None, ["gold"], {"a": 1}, {}])
def test_null_and_nested_claims_are_not_counted(claim: object) -> None:
    assert matches(rule("claim", key_type="claim:tier", key_value="*"), claims={"tier": claim}) == []


@pytest.mark.parametrize(
    ("claim", "counted"), [(42, "42"), (-7, "-7"), (True, "true"), (False, "false"), (1.5, "1.5"), (0, "0"), ("", "")]
)
def test_a_number_or_boolean_counts_by_its_json_text(claim: object, counted: str) -> None:
    each = rule("each", key_type="claim:tier", key_value="*")
    assert matches(each, claims={"tier": claim}) == [("each", f"claim:tier:{counted}")]
    if counted:
        exact = rule("exact", key_type="claim:tier", key_value=counted)
        assert matches(each, exact, claims={"tier": claim}) == [("exact", f"claim:tier:{counted}")]


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


def test_get_covers_head_and_methods_are_read_in_any_case() -> None:
    get = rule("get", match={"methods": ["get"]})
    assert get.rule.match.methods == ["GET"]
    assert matches(get, method="GET") == matches(get, method="HEAD") == [("get", "user:u")]
    assert matches(get, method="POST") == []
    assert matches(rule("head", match={"methods": ["HEAD"]}), method="GET") == []


@pytest.mark.parametrize("prefix", ["/api", "/api/", "/%61pi", "//api//"])
@pytest.mark.parametrize("path", ["/api", "/api/", "/api/x", "/%61pi/", "//api"])
def test_a_prefix_with_and_without_a_slash_at_its_end_is_one(prefix: str, path: str) -> None:
    assert matches(rule("r", match={"path_prefix": prefix}), paths=path_forms(path.encode())) == [("r", "user:u")]


def test_a_shadow_rule_takes_no_rules_place() -> None:
    shop = rule("shop", limit=3, window_seconds=3600, match={"path_prefix": "/shop"})
    dark = rule("dark", shadow=True, match={"path_prefix": "/shop/x"})
    assert matches(shop, dark, paths=("/shop/x",)) == [("shop", "user:u"), ("dark", "user:u")]
    assert matches(shop, dark, paths=("/shop/y",)) == [("shop", "user:u")]
    strong = rule("strong", shadow=True, priority=9, key_value="u")
    assert matches(shop, strong, paths=("/shop/x",)) == [("shop", "user:u"), ("strong", "user:u")]
    weak = rule("weak", shadow=True, priority=-9)
    assert matches(shop, weak, paths=("/shop/x",)) == [("shop", "user:u"), ("weak", "user:u")]


def test_a_shadow_rule_suppresses_no_default() -> None:
    default = rule("default", key_type="default", key_value=None)
    dark = rule("dark", key_type="ip", shadow=True)
    assert matches(default, dark) == [("dark", "ip:10.1.2.3"), ("default", "user:u")]
    dark_default = rule("dark-default", key_type="default", key_value=None, shadow=True)
    assert matches(default, dark, dark_default) == [
        ("dark", "ip:10.1.2.3"), ("default", "user:u"), ("dark-default", "user:u"),
    ]  # fmt: skip
    assert matches(rule("user"), dark_default) == [("user", "user:u")]


def test_of_shadow_rules_the_first_of_each_key_type_is_counted() -> None:
    rules = [
        rule("a", shadow=True), rule("b", shadow=True, key_value="u"), rule("c", shadow=True, key_type="ip"),
        rule("in-force"),
    ]  # fmt: skip
    assert matches(*rules) == [("in-force", "user:u"), ("b", "user:u"), ("c", "ip:10.1.2.3")]


def test_a_caller_called_star_is_nobody_special() -> None:
    assert matches(rule("any"), sub="*") == [("any", "user:%2A")]
    assert matches(rule("exact", key_value="u"), sub="*") == []


def test_callers_cannot_shape_keys() -> None:
    caller = Caller("a}|{b c;d" + "x" * 500, "iss", {}, "1.1.1.1")
    for key in caller_keys(caller, INDEX).by_type[0]:
        assert len(key.descriptor) < 140
        assert not set("{}|; ") & set(key.descriptor)


FREE = {"match": {"claims": {"plan": "free"}}}
PRO = {"match": {"claims": {"plan": ["pro", "team"]}}, "limit": 100}


def test_each_user_of_a_plan_has_a_counter_of_their_own() -> None:
    plans = (rule("free", **FREE), rule("pro", **PRO))
    assert matches(*plans, claims={"plan": "free"}) == [("free", "user:u")]
    assert matches(*plans, claims={"plan": "team"}, sub="v") == [("pro", "user:v")]
    assert matches(*plans, claims={"plan": "other"}) == []
    assert matches(*plans) == []
    assert matches(*plans, sub=None) == []


def test_every_claim_must_match_by_the_text_by_which_it_is_counted() -> None:
    both = rule("both", match={"claims": {"tenant": 42, "beta": True}})
    assert matches(both, claims={"tenant": 42, "beta": True}) == [("both", "user:u")]
    assert matches(both, claims={"tenant": "42", "beta": "true"}) == [("both", "user:u")]
    assert matches(both, claims={"tenant": 43, "beta": True}) == []
    assert matches(both, claims={"tenant": 42}) == []
    assert matches(both, claims={"tenant": [42], "beta": True}) == []


def test_a_claim_that_is_not_counted_never_matches() -> None:
    for value in (None, [], {}, ["free"], {"plan": "free"}):
        assert matches(rule("free", **FREE), claims={"plan": value}) == []


def test_a_rule_for_addresses_may_leave_out_callers_with_a_token() -> None:
    strangers = rule("strangers", key_type="ip", match={"anonymous": True})
    known = rule("known", key_type="ip", match={"anonymous": False})
    assert matches(strangers, known, sub=None) == [("strangers", "ip:10.1.2.3")]
    assert matches(strangers, known) == [("known", "ip:10.1.2.3")]
    assert matches(rule("all", key_type="default", key_value=None, match={"anonymous": True})) == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"match": {"anonymous": True, "claims": {"plan": "free"}}}, "claims: callers without a token have none"),
        ({"match": {"anonymous": True}}, "match.anonymous: callers without a token have no user"),
        ({"match": {"claims": {}}}, "match.claims: "),
        ({"match": {"claims": {"plan": None}}}, "match.claims.plan"),
        ({"match": {"claims": {"plan": []}}}, "match.claims.plan"),
        ({"match": {"claims": {"plan": {"a": 1}}}}, "match.claims.plan"),
        ({"match": {"claims": {"plan": "x" * 1025}}}, "match.claims.plan"),
    ],
)
def test_conditions_that_nobody_meets_are_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        rule("r", **fields)
    assert problem in str(caught.value)
