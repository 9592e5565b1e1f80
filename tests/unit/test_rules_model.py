"""A rule that breaks the model is refused, and the refusal names the field."""

from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from app.errors import InvalidInput, InvalidRule
from app.rules.active import decode_active, decode_bucket, encode_active
from app.rules.model import parse_rule, to_json
from app.rules.rate import format_rate, parse_rate
from tests.support.rules import RULE


def test_defaults_are_the_designs() -> None:
    rule = parse_rule(RULE)
    assert (rule.all_limits[0].effective_burst, rule.algorithm, rule.cost, rule.priority, rule.enabled) == (
        5,
        "gcra",
        1,
        0,
        True,
    )
    assert (rule.on_limit, rule.drain, rule.paused, rule.shadow, rule.on_store_failure) == (
        "reject",
        None,
        False,
        False,
        "local",
    )
    queue = rule.queue
    assert (queue.max_depth, queue.max_wait_seconds, queue.max_attempts, queue.result_ttl_seconds) == (
        1000,
        3600,
        5,
        3600,
    )
    assert (queue.dead_letter_ttl_seconds, queue.on_delete, queue.keep_credentials) == (30 * 86_400, "drain", False)
    assert rule.overtaking is False
    assert parse_rule(RULE | {"drain": {"limit": 1, "window_seconds": 1}}).overtaking is True
    assert (
        parse_rule(RULE | {"drain": {"limit": 1, "window_seconds": 1}, "queue": {"overtaking": False}}).overtaking
        is False
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rule_id": "Not Allowed"}, "rule_id"),
        ({"rule_id": None}, "rule_id"),
        ({"key_type": "tenant"}, "key_type"),
        ({"key_type": "claim:"}, "key_type"),
        ({"key_type": "claim:a.b"}, "key_type"),
        ({"key_type": "claim:iat"}, "key_type"),
        ({"key_type": "claim:$where"}, "key_type"),
        ({"key_value": None}, "key_value"),
        ({"key_value": {"$gt": ""}}, "key_value"),
        ({"key_type": "default"}, "key_value"),
        ({"key_type": "ip", "key_value": "10.0.0.1/8"}, "key_value"),
        ({"key_type": "ip", "key_value": "nonsense"}, "key_value"),
        ({"key_type": "ip", "key_value": "2001:DB8::/32"}, "key_value"),
        ({"limit": 0}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"window_seconds": 0}, "window_seconds"),
        ({"window_seconds": float("nan")}, "window_seconds"),
        ({"burst": 0}, "burst"),
        ({"cost": 6}, "cost"),
        ({"algorithm": "leaky"}, "algorithm"),
        ({"algorithm": "sliding_window", "limit": 10_001}, "limit"),
        ({"on_limit": "wait"}, "on_limit"),
        ({"drain": {"limit": 1}}, "drain.window_seconds"),
        ({"drain": {"limit": 1, "window_seconds": 1, "burst": 1}, "cost": 2}, "drain.burst"),
        ({"limits": []}, "limits"),
        ({"limits": {"limit": 1, "window_seconds": 1}}, "limits"),
        ({"limits": [{"limit": 5}]}, "limits.0.window_seconds"),
        ({"limits": [{"limit": 0, "window_seconds": 1}]}, "limits.0.limit"),
        ({"limits": [{"limit": 5, "window_seconds": 1, "cost": 6}]}, r"limits.0.cost: must be at most limits.0.burst"),
        ({"limits": [{"limit": 5, "window_seconds": 1, "cost": {"header": "x"}}]}, "limits.0.cost"),
        ({"limits": [{"limit": 5, "window_seconds": 1, "cost": 1}] * 2}, "limits.1.window_seconds: another limit"),
        ({"limits": [{"limit": 5, "window_seconds": 60}]}, "limits.0.window_seconds: another limit"),
        ({"limits": [{"limit": 5, "window_seconds": n} for n in (1, 2, 1)]}, "limits.2.window_seconds: another limit"),
        ({"limits": [{"limit": 5, "window_seconds": n} for n in range(1, 9)]}, "limits"),
        ({"limits": [{"limit": 2, "window_seconds": 1}], "cost": 3}, r"cost: must be at most limits.0.burst \(2\)"),
        ({"limits": [{"limit": 5001, "window_seconds": 0.005}]}, "limits.0.limit: at most 5000 in 0.005 s"),
        (
            {"limits": [{"limit": 10_001, "window_seconds": 1, "algorithm": "sliding_window"}]},
            "limits.0.limit: at most",
        ),
        ({"limits": [{"limit": 1, "window_seconds": 366 * 86_400, "burst": 11}]}, "limits.0.burst: at most 10"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 10_001}, "concurrency"),
        ({"concurrency": 5, "limit": None}, "limit: required"),
        ({"concurrency": 5, "window_seconds": None}, "window_seconds: required"),
        ({"limit": None, "window_seconds": None}, "limit: required"),
        (
            {"limit": None, "window_seconds": None, "concurrency": 5, "limits": [{"limit": 1, "window_seconds": 9}]},
            "limit: required",
        ),
        ({"drain": {"limit": 1, "window_seconds": 1, "concurrency": 0}}, "drain.concurrency"),
        ({"algorithm": "concurrency"}, "algorithm"),
        ({"action": "allow", "limit": None, "window_seconds": None, "concurrency": 5}, "concurrency: a rule with"),
        ({"queue": {"max_depth": 0}}, "queue.max_depth"),
        ({"queue": {"on_delete": "keep"}}, "queue.on_delete"),
        ({"queue": {"drop_headers": ["a b"]}}, "queue.drop_headers"),
        ({"match": {"path_prefix": "api"}}, "match.path_prefix"),
        ({"match": {"methods": ["G T"]}}, "match.methods"),
        ({"match": {"path_prefix": "/a?b=1"}}, "match.path_prefix"),
        ({"match": {"path_prefix": "/a#b"}}, "match.path_prefix"),
        ({"match": {"path_prefix": "/a/../b"}}, "match.path_prefix"),
        ({"match": {"path_prefix": "/a/%2e%2E/b"}}, "match.path_prefix"),
        ({"match": {"path_prefix": "/a\\b"}}, "match.path_prefix"),
        ({"match": {"path_prefix": "/a%00"}}, "match.path_prefix"),
        ({"match": {"path_prefix": "/_penstock"}}, "match.path_prefix"),
        ({"match": {"path_prefix": "/%5Fpenstock/jobs"}}, "match.path_prefix"),
        ({"key_type": "ip", "key_value": "2001:db8:0:5::1"}, "key_value: IPv6 is counted by /64"),
        ({"key_type": "ip", "key_value": "2001:db8:0:6::/96"}, "key_value: IPv6 is counted by /64"),
        ({"key_type": "ip", "key_value": "2001:db8:0:6::/65"}, "key_value: IPv6 is counted by /64"),
        ({"window_seconds": 1e-300}, "window_seconds"),
        ({"window_seconds": 0.0009}, "window_seconds"),
        ({"window_seconds": 366 * 86_400 + 1}, "window_seconds"),
        ({"window_seconds": float("inf")}, "window_seconds"),
        ({"limit": 5001, "window_seconds": 0.005}, "limit: at most 5000 in 0.005 s"),
        ({"limit": 1, "window_seconds": 366 * 86_400, "burst": 11}, "burst: at most 10 at this rate"),
        ({"limit": 1, "window_seconds": 366 * 86_400, "burst": 10**9, "cost": 10**9}, "burst"),
        ({"drain": {"limit": 2, "window_seconds": 1e-6}}, "drain.window_seconds"),
        ({"drain": {"limit": 2000, "window_seconds": 0.001}}, "drain.limit: at most 1000"),
        ({"drain": {"limit": 1, "window_seconds": 366 * 86_400, "burst": 11}}, "drain.burst: at most 10"),
        ({"algorithm": "sliding_window", "cost": 6, "burst": 10}, r"cost: must be at most limit \(5\)"),
        ({"queue": {"max_wait_seconds": 1e-300}}, "queue.max_wait_seconds"),
        ({"queue": {"max_wait_seconds": float("nan")}}, "queue.max_wait_seconds"),
        ({"match": {"claims": {"tenant": 2**63}}}, "match.claims: tenant: a number of more than 64 bits must"),
        ({"match": {"claims": {"tenant": ["a", -(2**63) - 1]}}}, "match.claims: tenant"),
        ({"match": {"claims": {"tenant": 1e20}}}, "match.claims: tenant"),
        ({"match": {"claims": {"tenant": float("nan")}}}, "match.claims: tenant"),
        ({"$set": {}}, "$set"),
        ({"more": 1}, "more"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], named: str) -> None:
    fields = {name: value for name, value in (RULE | change).items() if value is not None}
    with pytest.raises(InvalidRule, match="^" + named.replace("$", r"\$")):
        parse_rule(fields)


@pytest.mark.parametrize(
    ("written", "counted"),
    [
        ("::ffff:c000:209", "192.0.2.9"),
        ("::FFFF:192.0.2.9", "192.0.2.9"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("2001:db8:0:6::/64", "2001:db8:0:6::/64"),
        ("192.0.2.9", "192.0.2.9"),
    ],
)
def test_addresses_are_kept_as_they_are_counted(written: str, counted: str) -> None:
    assert parse_rule(RULE | {"key_type": "ip", "key_value": written}).key_value == counted


def test_a_burst_is_nothing_to_a_sliding_window() -> None:
    rule = parse_rule(RULE | {"algorithm": "sliding_window", "burst": 10**9})
    assert rule.all_limits[0].effective_burst == rule.limit


def test_an_unusable_rule_in_the_cache_stops_no_other() -> None:
    good = encode_active(parse_rule(RULE), 7)
    bucket = orjson.dumps([good | {"window": 1e-300}, {"rule_id": "r2"}, good])
    with capture_logs() as logs:
        assert [rule.rule_id for rule in decode_bucket(bucket)] == ["r"]
    assert [(line["event"], line["rule_id"]) for line in logs] == [("rule_unusable", "r"), ("rule_unusable", "r2")]


def test_documents_carry_the_id_as_mongodb_does() -> None:
    document = {"_id": "r"} | {name: value for name, value in RULE.items() if name != "rule_id"}
    assert parse_rule(document) == parse_rule(RULE)


def test_a_rule_survives_its_compact_form() -> None:
    rule = parse_rule(
        RULE | {"match": {"path_prefix": "/a"}, "drain": {"limit": 2, "window_seconds": 0.5}, "priority": 3}
    )
    compact = encode_active(rule, 7)
    assert (compact["limit"], compact["window"], compact["revision"]) == (5, 60, 7)
    again = decode_active(compact)
    assert (again.rule, again.revision) == (rule, 7)
    assert parse_rule({name: value for name, value in to_json(rule).items() if name != "version"}) == rule


def test_edges_need_not_know_the_time_zones_of_schedules() -> None:
    night = {"from": "22:00", "to": "06:00", "timezone": "Europe/Berlin", "limit": {"limit": 1, "window_seconds": 1}}
    temporary = {"until": "2026-01-01T00:00:00Z", "previous": {"paused": False}}
    rule = parse_rule(RULE | {"schedule": [night], "temporary": [temporary]})
    compact = encode_active(rule, 7)
    again = decode_active(compact)
    assert again.rule == rule.model_copy(update={"schedule": None, "temporary": None})
    assert again.whole_rule() == rule
    compact["schedule"][0]["timezone"] = "Mars/Olympus"
    (unknown,) = decode_bucket(orjson.dumps([compact]))
    assert unknown.policies == again.policies
    assert b"Mars" not in unknown.snapshot


@pytest.mark.parametrize(
    ("text", "rate"),
    [("50/s", (50, 1)), ("100/m", (100, 60)), ("20/h", (20, 3600)), ("5/30s", (5, 30)), ("1/2d", (1, 172_800))],
)
def test_rates(text: str, rate: tuple[int, int]) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "50", "50/", "/s", "0/s", "5/0s", "-1/s", "1.5/s", "5/x", "5 / s"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_rate(text)


def test_rates_are_written_as_they_are_read() -> None:
    assert [format_rate(5, window_s) for window_s in (1, 60, 3600, 86_400, 30)] == ["5/s", "5/m", "5/h", "5/d", "5/30s"]
