"""Headers by which rules count: which rules may, what is read of a request, and what stands for a secret."""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import InvalidRule, MalformedRequest, StartupError
from app.identity.caller import Caller
from app.rules.active import ActiveRule
from app.rules.header_values import MAX_VALUE_BYTES, header_values, secret_headers, used_headers
from app.rules.key_headers import KeyHeaders
from app.rules.key_types import index_fields
from app.rules.lookup import KeyIndex
from app.rules.match import CandidateRules, caller_keys
from app.rules.model import Rule, parse_rule, to_json
from app.rules.secret_values import hashed
from app.settings import Settings, load_settings
from app.web.headers import Headers
from sync.plan import bucket_of

SECRET = "0123456789abcdef0123456789abcdef"
HASH = "hmac-sha256:" + hmac.digest(SECRET.encode(), b"key-1", "sha256").hex()
BY_KEY: dict[str, Any] = {
    "rule_id": "k",
    "key_type": "header:x-api-key",
    "key_value": "*",
    "limit": 5,
    "window_seconds": 60,
}
HEADERS = KeyHeaders(
    Settings.model_validate({"key_headers": "X-Api-Key, X_Tenant,authorization", "key_secret": SECRET})
)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"key_type": "header:X-Api-Key"}, "key_type: write it as 'header:x-api-key'"),
        ({"key_type": "header:x_api_key"}, "key_type: write it as 'header:x-api-key'"),
        ({"key_type": "header:"}, "key_type: must be 'user', 'claim:<name>', 'header:<name>'"),
        ({"key_type": "header:x api key"}, "key_type: must be"),
        ({"key_type": "header:x-api-key:"}, "key_type: must be"),
        ({"key_type": "header:" + "x" * 65}, "key_type: must be"),
        ({"key_type": "header:x\n"}, "key_type: must be"),
        ({"key_type": "secret:x-api-key"}, "key_type: must be"),
        ({"key_value": None}, "key_value: required"),
        ({"key_value": ""}, "key_value"),
        ({"key_value": " key-1"}, "key_value: no header has control characters, or white space around its value"),
        ({"key_value": "key\n1"}, "key_value: no header has control characters"),
        ({"key_value": "k" * 1025}, "key_value"),
        ({"key_value": HASH}, "secret: must be true, because key_value is the hash of a secret"),
        ({"key_type": "header:authorization"}, "secret: must be true for credentials such as authorization"),
        ({"key_type": "header:cookie", "key_value": "a=b"}, "secret: must be true for credentials such as cookie"),
        ({"key_type": "user", "secret": True}, "secret: only with key_type 'header:<name>'"),
        ({"key_type": "default", "key_value": None, "secret": True}, "secret: only with key_type 'header:<name>'"),
        ({"secret": "yes"}, "secret"),
        ({"secret": True, "key_value": "key-1"}, "key_value: a secret is stored as 'hmac-sha256:'"),
        ({"secret": True, "key_value": HASH.upper()}, "key_value: a secret is stored as 'hmac-sha256:'"),
        ({"secret": True, "key_value": HASH + "0"}, "key_value: a secret is stored as 'hmac-sha256:'"),
    ],
)
def test_what_is_no_rule_by_a_header(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        parse_rule(BY_KEY | change)
    assert str(refused.value).startswith(problem)
    assert "key-1" not in str(refused.value), "an error never tells a value"


def test_a_rule_is_admitted_as_it_may_be_stored() -> None:
    assert HEADERS.admit(BY_KEY | {"key_value": "key-1"}).key_value == "key-1"
    rule = HEADERS.admit(BY_KEY | {"key_value": "key-1", "secret": True})
    assert rule.key_value == HASH == hashed(b"key-1", SECRET.encode())
    assert HEADERS.admit(to_json(rule)) == rule, "a rule that was read can be written again"
    assert parse_rule(to_json(rule)) == rule
    for value in ("*", HASH):
        assert HEADERS.admit(BY_KEY | {"key_value": value, "secret": True}).key_value == value
    assert HEADERS.admit(BY_KEY | {"key_type": "header:x-tenant"}).key_type == "header:x-tenant"
    assert HEADERS.admit({"rule_id": "u", "key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 1})


def test_what_the_settings_do_not_allow_is_refused_by_their_names() -> None:
    with pytest.raises(InvalidRule, match="x-other is not among those of PENSTOCK_KEY_HEADERS"):
        HEADERS.admit(BY_KEY | {"key_type": "header:x-other"})
    without_key = KeyHeaders(Settings(key_headers=("x-api-key",)))
    with pytest.raises(InvalidRule, match="secret: PENSTOCK_KEY_SECRET is not set"):
        without_key.admit(BY_KEY | {"key_value": "key-1", "secret": True})
    assert without_key.admit(BY_KEY)
    assert KeyHeaders(Settings()).problem(parse_rule(BY_KEY))


def test_settings_name_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_KEY_HEADERS", "X-Api-Key, x_tenant,")
    assert load_settings().key_headers == ("x-api-key", "x-tenant")
    for wrong in ("x api", "a:b", "x-api-key;x-tenant"):
        monkeypatch.setenv("PENSTOCK_KEY_HEADERS", wrong)
        with pytest.raises(StartupError, match="PENSTOCK_KEY_HEADERS"):
            load_settings()


def test_a_short_secret_is_refused_and_none_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_KEY_SECRET", SECRET)
    assert SECRET not in repr(load_settings())
    monkeypatch.setenv("PENSTOCK_KEY_SECRET", SECRET[1:])
    with pytest.raises(StartupError, match="PENSTOCK_KEY_SECRET") as refused:
        load_settings()
    assert SECRET[1:] not in str(refused.value)


# What is read of a request

USED = {b"x-api-key": 0, b"x-tenant": 1}
READ: list[tuple[Headers, tuple[bytes | None, ...] | None]] = [
    ([], None),
    ([(b"accept", b"*/*")], None),
    ([(b"x-api-key", b"a")], (b"a", None)),
    ([(b"x-tenant", b"t"), (b"x-api-key", b"a")], (b"a", b"t")),
    ([(b"x-api-key", b"a"), (b"x-api-key", b"a")], (b"a", None)),
    ([(b"x_api_key", b"a")], (b"a", None)),
    ([(b"x_api-key", b"a"), (b"x-api-key", b"a")], (b"a", None)),
    ([(b"x-api-key", b"")], None),
    ([(b"x-api-key", b""), (b"x-tenant", b"t")], (None, b"t")),
    ([(b"x-api-keys", b"a"), (b"x-api", b"b"), (b"api-key", b"c")], None),
    ([(b"x-api-key", b"a" * MAX_VALUE_BYTES)], (b"a" * MAX_VALUE_BYTES, None)),
    ([(b"x-api-key", b"\xff")], (b"\xff", None)),
]


@pytest.mark.parametrize(("headers", "values"), READ)
def test_values(headers: Headers, values: tuple[bytes | None, ...] | None) -> None:
    assert header_values(headers, USED) == values


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-api-key", b"a"), (b"x-api-key", b"b")],
        [(b"x-api-key", b"a"), (b"x_api_key", b"b")],
        [(b"x-api-key", b""), (b"x-api-key", b"b")],
        [(b"x-api-key", b"a"), (b"x-tenant", b"a"), (b"X_api_key".lower(), b"")],
        [(b"x-api-key", b"a" * (MAX_VALUE_BYTES + 1))],
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(headers: Headers) -> None:
    with pytest.raises(MalformedRequest, match="X-Api-Key") as refused:
        header_values(headers, USED)
    assert "aaa" not in str(refused.value)


# Whom the rules count

FIELDS = {"header": ("x-api-key*", "x-api-key=", "x-tenant*"), "secret": ("x-api-key*", "x-api-key=", "x-other=")}
INDEX = KeyIndex(FIELDS)


def test_what_the_index_says_of_headers() -> None:
    assert used_headers(INDEX) == {b"x-api-key": 0, b"x-other": 1, b"x-tenant": 2}
    assert secret_headers(INDEX) == {"x-api-key", "x-other"}
    assert used_headers(KeyIndex({"claim": ("tier",)})) == {}


def said(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, bool, str]]:
    return [(line["key_type"], line["secret"], line["setting"]) for line in lines]


def test_what_cannot_be_used_is_said_once_and_not_counted() -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            usable = HEADERS.usable(INDEX)
        assert usable.of("header") == FIELDS["header"]
        assert usable.of("secret") == ("x-api-key*", "x-api-key=")
        assert [(line["event"], line["log_level"]) for line in lines] == [("rules_unusable", "error")]
        assert said(lines) == [("header:x-other", True, "PENSTOCK_KEY_HEADERS")]
    without_key = KeyHeaders(Settings(key_headers=("x-api-key", "x-tenant")))
    with structlog.testing.capture_logs() as lines:
        assert without_key.usable(INDEX).of("secret") == ()
        assert said(lines) == [
            ("header:x-api-key", True, "PENSTOCK_KEY_SECRET"),
            ("header:x-other", True, "PENSTOCK_KEY_HEADERS"),
        ]
    plain = KeyIndex({"claim": ("tier",)})
    assert HEADERS.usable(plain) is plain


def matched(*rules: Rule, values: dict[str, bytes], sub: str | None = "u") -> list[tuple[str, str]]:
    """What applies, as sync publishes these rules and an edge reads them."""
    fields: dict[bytes, bytes] = {}
    buckets: dict[str, list[ActiveRule]] = {}
    for rule in rules:
        name = str(bucket_of(rule))
        fields |= {field.encode(): b"1" for field in index_fields(name)}
        buckets.setdefault(name, []).append(ActiveRule(rule, 1))
    index = HEADERS.usable(KeyIndex.parse(fields))
    read = header_values([(name.encode(), value) for name, value in values.items()], used_headers(index))
    keys = {} if read is None else HEADERS.keys(index, read)
    caller = Caller(sub, "iss" if sub else None, {"tier": "gold"}, "10.1.2.3", keys)
    found = CandidateRules(caller, caller_keys(caller, index), buckets).matches("GET", ("/",))
    return [(match.rule.rule_id, match.descriptor) for match in found]


def rule(rule_id: str, **fields: Any) -> Rule:  # noqa: ANN401
    return HEADERS.admit(BY_KEY | {"rule_id": rule_id} | fields)


def test_each_value_and_one_value() -> None:
    each, one = rule("each"), rule("one", key_value="key-1")
    assert matched(each, one, values={"x-api-key": b"key-1"}) == [("one", "header:x-api-key:key-1")]
    assert matched(each, one, values={"x-api-key": b"key-2"}) == [("each", "header:x-api-key:key-2")]
    assert matched(each, one, values={}) == []
    assert matched(one, values={"x-api-key": b"key-2"}) == []
    assert matched(each, values={"x-api-key": "sch\u00f6n".encode()}) == [("each", "header:x-api-key:sch%C3%B6n")]
    assert matched(each, values={"x-api-key": b"*"}) == [("each", "header:x-api-key:%2A")]


def test_a_secret_is_counted_by_its_hash() -> None:
    each, one = rule("each", secret=True), rule("one", secret=True, key_value="key-1")
    assert matched(each, one, values={"x-api-key": b"key-1"}) == [("one", f"header:x-api-key:{HASH}")]
    other = hashed(b"key-2", SECRET.encode())
    assert matched(each, one, values={"x-api-key": b"key-2"}) == [("each", f"header:x-api-key:{other}")]
    assert matched(one, values={"x-api-key": HASH.encode()}) == [], "the hash is not the key"
    plain = rule("plain", key_value="other")
    assert matched(one, plain, values={"x-api-key": HASH.encode()}) == []


def test_secret_and_plain_rules_of_a_header_are_one_key_type() -> None:
    rules = [rule("plain"), rule("secret", secret=True, key_value="key-1"), rule("low", priority=-1, secret=True)]
    assert matched(*rules, values={"x-api-key": b"key-1"}) == [("secret", f"header:x-api-key:{HASH}")]
    assert matched(*rules, values={"x-api-key": b"key-2"}) == [("plain", "header:x-api-key:key-2")]


def test_the_order_of_decision() -> None:
    rules = [
        rule("ip", key_type="ip"),
        rule("tenant", key_type="header:x-tenant"),
        rule("key"),
        rule("claim", key_type="claim:tier"),
        rule("user", key_type="user"),
        rule("rest", key_type="default", key_value=None),
    ]
    values = {"x-api-key": b"k", "x-tenant": b"t"}
    assert [name for name, _ in matched(*rules, values=values)] == ["user", "claim", "key", "tenant", "ip"]
    assert matched(rules[2], rules[5], values=values) == [("key", "header:x-api-key:k")], "no default beside it"
    assert matched(rules[2], rules[5], values={}) == [("rest", "user:u")]
    assert matched(rules[2], rules[5], values={}, sub=None) == [("rest", "ip:10.1.2.3")]


raw_values = st.binary(min_size=1, max_size=300).filter(lambda value: value.strip())


@given(raw_values)
@example(b"*")
@example(b"%2A")
@example(b"a&b|c;d>e{f}")
@example(b"\xff\xfe")
@example(HASH.encode())
def test_a_value_is_counted_as_a_bounded_text_of_its_own(value: bytes) -> None:
    [(_, plain)] = matched(rule("each"), values={"x-api-key": value})
    [(_, secret)] = matched(rule("each", secret=True), values={"x-api-key": value})
    for one in (plain, secret):
        assert len(one) < 200
        assert not set(one) & set("{}|;>&* \n\0")
    assert secret == f"header:x-api-key:{hashed(value, SECRET.encode())}"
