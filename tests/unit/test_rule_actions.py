"""What rules do instead of limiting: they block, exempt from other rules, or defer always."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.decision import Defer, Forward, Reject, RuleResult, decide, quotas_of
from app.errors import InvalidRule
from app.identity.caller import Caller
from app.limiter.policy import QuotaState
from app.rules.active import ActiveRule, decode_active, encode_active
from app.rules.lookup import KeyIndex
from app.rules.match import CandidateRules, Match, caller_keys
from app.rules.model import parse_rule, to_json
from sync.plan import bucket_of
from tests.support.examples import scaled

KEY = {"rule_id": "r", "key_type": "user", "key_value": "*"}
QUOTA = {"limit": 5, "window_seconds": 60}
CALLER = Caller("u", "iss", {"tier": "gold"}, "10.1.2.3")
INDEX = KeyIndex({"net4": ("8",), "claim": ("tier",)})


USELESS: dict[str, dict[str, Any]] = {
    "on_limit": {"on_limit": "defer"}, "drain": {"drain": {"limit": 1, "window_seconds": 1}},
    "queue": {"queue": {"max_depth": 5}}, "limits": {"limits": [{"limit": 5, "window_seconds": 1}]},
}  # fmt: skip
"""Fields that say nothing about a rule that blocks or allows."""


def rule(rule_id: str, **fields: Any) -> ActiveRule:  # noqa: ANN401
    quota = {} if fields.get("action") in {"block", "allow"} else QUOTA
    return ActiveRule(parse_rule(KEY | {"rule_id": rule_id} | quota | fields), 1)


def applying(rules: Iterable[ActiveRule], *paths: str, caller: Caller = CALLER) -> list[str]:
    buckets: dict[str, list[ActiveRule]] = {}
    for one in rules:
        buckets.setdefault(str(bucket_of(one.rule)), []).append(one)
    found = CandidateRules(caller, caller_keys(caller, INDEX), buckets).matches("GET", paths or ("/",))
    return [match.rule.rule_id for match in found]


@pytest.mark.parametrize("action", ["block", "allow"])
@pytest.mark.parametrize("quota", [{}, QUOTA, {"limit": 5}, {**QUOTA, "burst": 2, "algorithm": "sliding_window"}])
def test_a_rule_that_counts_nothing_needs_no_limit(action: str, quota: dict[str, Any]) -> None:
    made = parse_rule(KEY | quota | {"action": action})
    assert decode_active(encode_active(made, 7)).rule == made
    assert parse_rule({name: value for name, value in to_json(made).items() if name != "version"}) == made


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"action": "deny"}, "action: "),
        ({"action": None, **QUOTA}, "action: "),
        ({"window_seconds": 60}, "limit: required with action 'limit'"),
        ({"limit": 5}, "window_seconds: required with action 'limit'"),
        ({"action": "defer"}, "limit: required with action 'defer'"),
        ({"action": "defer", "limit": 5}, "window_seconds: required with action 'defer'"),
        ({"action": "defer", **QUOTA, "on_limit": "reject"}, "on_limit: a rule with action 'defer' rejects nothing"),
        ({"limit": 0, "window_seconds": 60}, "limit: must be at least 1: to refuse every request, write action: block"),
        ({"limit": 0.0, "window_seconds": 60}, "limit: must be at least 1: to refuse every request"),
        (
            {**QUOTA, "limits": [{"limit": 0, "window_seconds": 1}]},
            "limits.0.limit: must be at least 1: to refuse every",
        ),
        ({**QUOTA, "drain": {"limit": 0, "window_seconds": 1}}, "drain.limit: must be at least 1: to send nothing"),
        *(
            (fields | {"action": action}, f"{name}: a rule with action '{action}' has none")
            for action in ("block", "allow")
            for name, fields in USELESS.items()
        ),
    ],
)
def test_what_makes_no_sense_with_an_action_is_named(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        parse_rule(KEY | fields)
    assert str(caught.value).startswith(problem)


def test_allow_exempts_from_what_has_a_lower_priority_whatever_its_key_type() -> None:
    health = rule("health", action="allow", key_type="ip", priority=5, match={"path_prefix": "/healthz"})
    rules = [
        rule("user", priority=4), rule("gold", key_type="claim:tier", key_value="gold", priority=5),
        rule("wall", action="block", key_type="claim:tier", key_value="*", priority=4), health,
    ]  # fmt: skip
    assert applying(rules, "/healthz") == ["gold", "health"]
    assert applying(rules, "/healthz/x") == ["gold", "health"]
    assert applying(rules, "/other") == ["user", "gold"]
    assert applying([rules[0], rules[2], health], "/healthz") == ["health"]
    assert applying([rules[0], rules[2], health]) == ["user", "wall"]


def test_allow_is_subject_to_the_precedence_of_its_own_key_type() -> None:
    allowed = rule("allowed", action="allow")
    limited = rule("limited", key_value="u")
    address = rule("address", key_type="ip", priority=-1)
    assert applying([allowed, limited, address]) == ["limited", "address"]
    assert applying([allowed, limited, address], caller=Caller("v", "iss", {}, "10.1.2.3")) == ["allowed"]


def test_allow_is_something_that_matched() -> None:
    default = rule("default", key_type="default", key_value=None, priority=9)
    assert applying([default, rule("allowed", action="allow", priority=-9)]) == ["allowed"]
    assert applying([default, rule("shadow", action="allow", shadow=True)]) == ["shadow", "default"]


def test_a_shadow_rule_that_allows_exempts_from_nothing_and_is_exempt_itself() -> None:
    address = rule("address", key_type="ip")
    assert applying([rule("shadow", action="allow", priority=9, shadow=True), address]) == ["shadow", "address"]
    dark = rule("dark", key_type="ip", shadow=True)
    assert applying([rule("allowed", action="allow", priority=1), dark]) == ["allowed"]


def test_a_path_that_reads_in_two_ways_is_exempt_only_if_both_are() -> None:
    allowed = rule("allowed", action="allow", key_type="ip", priority=9, match={"path_prefix": "/open"})
    inner = rule("inner", action="allow", key_type="ip", priority=3, match={"path_prefix": "/open/a"})
    wall = rule("wall", action="block", key_type="ip", priority=10, match={"path_prefix": "/open/wall"})
    user, strict = rule("user", limit=100), rule("strict", limit=1, priority=1, match={"path_prefix": "/api"})
    rules = [allowed, wall, user, strict]
    assert applying(rules, "/open/x", "/api") == ["strict"]
    assert applying(rules, "/open/x", "/open/y") == ["allowed"]
    assert applying(rules, "/open/x", "/open/wall") == ["user", "wall"]
    low = rule("low", action="allow", key_type="ip", priority=-1, match={"path_prefix": "/low"})
    assert applying([*rules, low, inner], "/open/x", "/low") == ["user", "low"], "the weaker exemption"


ACTIONS = ("limit", "block", "allow", "defer")
KEYS = st.sampled_from([
    ("user", "u"), ("user", "*"), ("user", "other"), ("claim:tier", "gold"), ("claim:tier", "*"), ("ip", "10.1.2.3"),
    ("ip", "10.0.0.0/8"), ("ip", "*"), ("default", None),
])  # fmt: skip
RULES = st.lists(
    st.tuples(
        KEYS, st.sampled_from(ACTIONS), st.integers(-1, 2), st.sampled_from([None, "/a", "/a/b"]), st.booleans(),
        st.integers(1, 3),
    ),
    max_size=9,
)  # fmt: skip
PATHS = st.lists(st.sampled_from(["/", "/a", "/a/b/c", "/ab"]), min_size=1, max_size=3)


@given(drawn=RULES, paths=PATHS)
@example(
    drawn=[(("user", "u"), "limit", 0, None, True, 1), (("default", None), "allow", 1, None, False, 1)], paths=["/"]
)
@example(drawn=[(("ip", "*"), "allow", 1, "/a", False, 1), (("user", "*"), "block", 0, None, False, 1)], paths=["/a"])
@hypothesis_settings(max_examples=scaled(400))
def test_matches_are_those_of_a_plain_reference(drawn: list[Any], paths: list[str]) -> None:
    rules = [
        rule(f"r{number}", key_type=key[0], key_value=key[1], action=action, priority=priority, shadow=shadow,
             limit=limit, match={} if prefix is None else {"path_prefix": prefix})
        for number, (key, action, priority, prefix, shadow, limit) in enumerate(drawn)
    ]  # fmt: skip
    assert applying(rules, *paths) == [one.rule_id for one in reference(rules, paths)]


def reference(rules: Sequence[ActiveRule], paths: Sequence[str]) -> list[ActiveRule]:
    """The rules that apply to a GET of `CALLER`: as the documentation says it, one rule after the other."""
    found: list[ActiveRule] = []
    for key_type in ("user", "claim:tier", "ip"):
        of_type = [one for one in rules if one.rule.key_type == key_type and is_mine(one)]
        found += [one for shadow in (False, True) if (one := first_of(of_type, paths, shadow=shadow))]
    if all(one.shadow for one in found):
        of_default = [one for one in rules if one.rule.key_type == "default"]
        found += [one for shadow in (False, True) if (one := first_of(of_default, paths, shadow=shadow))]
    allowed = [one.priority for one in found if one.action == "allow" and not one.shadow]
    return [one for one in found if not allowed or one.priority >= max(allowed)]


def is_mine(one: ActiveRule) -> bool:
    return one.rule.key_value in {"u", "gold", "10.1.2.3", "10.0.0.0/8", "*"}


def first_of(rules: Sequence[ActiveRule], paths: Sequence[str], *, shadow: bool) -> ActiveRule | None:
    """Of each reading of the path the first rule; of several readings the strictest, and allow only if all allow."""
    ordered = sorted((one for one in rules if one.shadow == shadow), key=precedence)
    firsts = [next((one for one in ordered if is_below(path, one.path_prefix)), None) for path in paths]
    strictness = {"block": 0, "limit": 1, "defer": 1}
    strict = [one for one in firsts if one is not None and one.action != "allow"]
    if strict:
        return min(
            strict, key=lambda one: (strictness[one.action], one.rule.limit or 0 if strictness[one.action] else 0)
        )
    return None if None in firsts else min((one for one in firsts if one), key=lambda one: one.priority)


def precedence(one: ActiveRule) -> tuple[int, int, int, str]:
    value = one.rule.key_value
    rank = 0 if value in {"*", None} else 1 if "/" in str(value) else 2
    return (-one.priority, -rank, -len(one.path_prefix or ""), one.rule_id)


def is_below(path: str, prefix: str | None) -> bool:
    return prefix is None or path == prefix or path.startswith(prefix + "/")


def result(rule_id: str, *, refused: bool = False, wait_us: int = 0, **fields: Any) -> RuleResult:  # noqa: ANN401
    state = QuotaState(0 if refused else 3, wait_us, 2_000_000, refused, backlog=False)
    match = Match(rule(rule_id, **fields), f"user:{rule_id}")
    return RuleResult(match, match.rule.policies[0], state)


def test_what_is_always_deferred_joins_the_flow_of_that_rule() -> None:
    always = result("always", action="defer")
    assert decide([always], asynchronous=True) == Defer(always, 0)
    defers = result("a", refused=True, wait_us=7, on_limit="defer")
    assert decide([defers, always], asynchronous=True) == Defer(always, 7)
    spent = result("always", action="defer", refused=True, wait_us=9)
    assert decide([defers, spent], asynchronous=True) == Defer(spent, 9)
    assert decide([result("b", on_limit="defer"), always], asynchronous=True) == Defer(always, 0)


def test_a_rule_that_rejects_comes_before_one_that_always_defers() -> None:
    rejects = result("rejects", refused=True)
    assert decide([result("always", action="defer"), rejects], asynchronous=True) == Reject((rejects,))


def test_a_shadow_rule_never_defers() -> None:
    shadow = result("shadow", action="defer", shadow=True, refused=True)
    assert not shadow.match.rule.always_defers
    assert decide([shadow]) == Forward()


def test_rules_without_a_quota_are_charged_nothing() -> None:
    matches = [Match(rule(action, action=action), "user:u") for action in ACTIONS]
    assert [match.rule.rule_id for match in quotas_of(matches).matches] == ["limit", "defer"]


def test_nothing_waits_before_a_rule_that_always_defers() -> None:
    [charge] = quotas_of([result("always", action="defer").match]).charges
    assert charge.markers == ()
