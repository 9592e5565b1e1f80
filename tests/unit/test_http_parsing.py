"""How paths, headers and tokens of requests are parsed."""

import pytest

from app.edge.deferral import idempotency_key
from app.errors import MalformedRequest
from app.identity.tokens import bearer_token
from app.jobs.model import (
    StoredRequest,
    StoredResponse,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    new_job_id,
    partition_of,
)
from app.web.headers import for_delivery, from_upstream, to_store, to_upstream
from app.web.paths import path_forms


@pytest.mark.parametrize(
    ("raw", "forms"),
    [
        (b"/", ("/",)),
        (b"/a/b", ("/a/b",)),
        (b"/a%2fb", ("/a%2Fb", "/a/b")),
        (b"/a//b", ("/a/b",)),
        (b"/a%20b", ("/a b",)),
        (b"//", ("/",)),
        (b"/a/.well-known", ("/a/.well-known",)),
        (b"/a%252fb", ("/a%252fb",)),
        (b"/a/", ("/a/",)),
    ],
)
def test_a_path_has_a_normal_form_for_each_reading(raw: bytes, forms: tuple[str, ...]) -> None:
    assert path_forms(raw) == forms


@pytest.mark.parametrize(
    "raw", [b"/a/../b", b"/..", b"/%2e%2e/b", b"/a%2f..%2fb", b"/a\\b", b"/%5c", b"/%00", b"a", b"*"]
)
def test_ambiguous_paths_are_refused(raw: bytes) -> None:
    with pytest.raises(MalformedRequest):
        path_forms(raw)


@pytest.mark.parametrize(
    ("values", "token"),
    [
        ([], None),
        ([b"Basic x"], None),
        ([b"Bearer abc"], "abc"),
        ([b"bearer  abc "], "abc"),
        ([b"Digest Bearer"], None),
    ],
)
def test_a_bearer_token_is_read_whatever_the_case_of_its_scheme(values: list[bytes], token: str | None) -> None:
    assert bearer_token(values) == token


@pytest.mark.parametrize("values", [[b"Bearer"], [b"Bearer "], [b"Bearerabc"], [b"Bearer a", b"Basic b"]])
def test_a_malformed_authorization_header_is_refused(values: list[bytes]) -> None:
    with pytest.raises(MalformedRequest):
        bearer_token(values)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b'"a b"', "a b"), (b"abc", "abc"), (b'"a\\"b"', 'a"b'),
        (b"Zm9vYg==", "Zm9vYg=="), (b'"Zm9vYg=="', "Zm9vYg=="), (b"{8e03978e}", "{8e03978e}"), (b"a,b", "a,b"),
        (b'"a', '"a'), (b'a"', 'a"'), (b'"a\\b"', '"a\\b"'), (b'"a";p=1', '"a";p=1'), (b" abc\t", "abc"),
        (b"x" * 255, "x" * 255), (b"!~", "!~"),
    ],
)  # fmt: skip
def test_an_idempotency_key_is_what_is_in_quotation_marks_or_as_it_stands(value: bytes, key: str) -> None:
    assert idempotency_key([(b"idempotency-key", value)]) == key


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b'""',
        b"x" * 256,
        b'"' + b"x" * 256 + b'"',
        b"\x01",
        "ä".encode(),
        b"a b",
        b'"a b',
        b'"a", "b"',
        b"\x7f",
        b"\t",
    ],
)
def test_a_malformed_idempotency_key_is_refused(value: bytes) -> None:
    with pytest.raises(MalformedRequest):
        idempotency_key([(b"idempotency-key", value)])


def test_a_request_may_have_no_idempotency_key_but_not_two() -> None:
    assert idempotency_key([]) is None
    with pytest.raises(MalformedRequest):
        idempotency_key([(b"idempotency-key", b"a"), (b"idempotency-key", b"a")])


def test_the_app_server_gets_no_hop_by_hop_and_no_forged_headers() -> None:
    inbound = [
        (b"host", b"x"),
        (b"connection", b"keep-alive, X-Hop"),
        (b"x-hop", b"1"),
        (b"te", b"trailers"),
        (b"penstock-identity", b"forged"),
        (b"penstock_job_id", b"forged"),
        (b"penstock-callback", b"https://x"),
        (b"x-forwarded-for", b"6.6.6.6"),
        (b"x_forwarded_for", b"7.7.7.7"),
        (b"forwarded", b"for=6.6.6.6"),
        (b"accept", b"*/*"),
    ]
    untrusted = dict(to_upstream(inbound, client="1.2.3.4", scheme="https", trusted=False))
    assert set(untrusted) == {
        b"host",
        b"penstock-callback",
        b"accept",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-request-id",
    }
    assert (untrusted[b"x-forwarded-for"], untrusted[b"x-forwarded-proto"]) == (b"1.2.3.4", b"https")
    trusted = dict(to_upstream(inbound, client="1.2.3.4", scheme="https", trusted=True))
    assert (trusted[b"x-forwarded-for"], trusted[b"forwarded"]) == (b"6.6.6.6, 1.2.3.4", b"for=6.6.6.6")
    assert b"x_forwarded_for" not in trusted


def test_credentials_are_not_stored_and_a_job_is_sent_with_its_own_headers() -> None:
    headers = [(b"authorization", b"s"), (b"cookie", b"s"), (b"x-api-key", b"s"), (b"x-mine", b"s"), (b"accept", b"a")]
    headers += [(b"x_api_key", b"s"), (b"x_mine", b"s")]  # some app servers read `_` as `-`
    stored = to_store(headers, ["X-Mine"])
    assert stored == [(b"accept", b"a")]
    assert for_delivery(stored, "0-id", 2, b"token") == [
        (b"accept", b"a"),
        (b"penstock-job-id", b"0-id"),
        (b"penstock-attempt", b"2"),
        (b"penstock-identity", b"token"),
    ]


def test_the_client_gets_no_hop_by_hop_and_no_reserved_headers() -> None:
    answer = [
        (b"connection", b"X-Hop"),
        (b"x-hop", b"1"),
        (b"ratelimit-limit", b"1"),
        (b"penstock-x", b"1"),
        (b"a", b"b"),
    ]
    assert from_upstream(answer) == [(b"a", b"b")]


def test_stored_requests_and_responses_are_decoded_byte_for_byte() -> None:
    request = StoredRequest("POST", b"/\xff?q", [(b"a", b"\xe4\n")], b"\n\x00body\n", ("iss", "sub"))
    assert decode_request(encode_request(request)) == request
    for body in (b"\n\n\x00", b"", None):
        response = StoredResponse(200, [(b"x", b"\xff")], body)
        assert decode_response(encode_response(response)) == response


def test_job_ids_are_unique_and_contain_their_partition() -> None:
    ids = {new_job_id(31) for _ in range(1000)}
    assert len(ids) == 1000
    assert {partition_of(job_id) for job_id in ids} == {31}
    for bad in ("", "0", "0-", "0-short", "g-" + "x" * 22, "0-" + "x" * 23, "0-" + "x" * 21 + "}", "0000-" + "x" * 22):
        assert partition_of(bad) is None
