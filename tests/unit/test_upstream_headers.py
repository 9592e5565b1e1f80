"""The response headers that Penstock interprets: whatever an app server sends, reading them never raises."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.http1.client.response import BadResponse, ResponseReader
from app.jobs.model import StoredResponse, decode_response, encode_response
from app.web.headers import from_upstream
from app.web.retry_after import MAX_RETRY_AFTER_S, retry_after_s
from tests.support.hostile_headers import INTERPRETED, VALUES

FIELD_BYTES = bytes(byte for byte in range(256) if byte in {9, *range(32, 127), *range(128, 256)})

numbers = st.one_of(st.integers(-(10**30), 10**30).map(str), st.floats().map(str))
dates = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Mon", "Fri", "Xxx"]),
    numbers,
    st.sampled_from(["Jan", "Dec", "13"]),
    numbers,
    numbers,
    numbers,
    numbers,
    st.one_of(st.just("GMT"), numbers),
)
values = st.one_of(
    st.text(st.sampled_from(FIELD_BYTES.decode("latin-1")), max_size=80).map(lambda text: text.encode("latin-1")),
    numbers.map(str.encode),
    dates.map(str.encode),
    st.sampled_from(VALUES),
)


@given(st.one_of(values, st.binary(max_size=200)))
@example(b"9" * 5000)
@example(b"nan")
@example(b"(" * 60_000)
def test_any_retry_after_is_a_bounded_number_of_seconds(value: bytes) -> None:
    assert 0 <= retry_after_s([(b"retry-after", value)]) <= MAX_RETRY_AFTER_S


@pytest.mark.parametrize("value", VALUES)
def test_a_hostile_retry_after_is_a_bounded_number_of_seconds(value: bytes) -> None:
    assert 0 <= retry_after_s([(b"retry-after", value)]) <= MAX_RETRY_AFTER_S


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        (b"120", 120),
        (b" 120 ", 120),
        (b"0000000000005", 5),
        (b"0", 0),
        (b"-5", 0),
        (b"1.5", 0),
        (b"soon", 0),
        (b"", 0),
        (b"12345678901234567890", MAX_RETRY_AFTER_S),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_S),
        (b"Fri, 31 Dec 1999 23:59:59 GMT", 0),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(value: bytes, expected_s: float) -> None:
    assert retry_after_s([(b"x", b"1"), (b"retry-after", value), (b"retry-after", b"7")]) == expected_s


def test_a_date_in_the_future_is_a_number_of_seconds() -> None:
    before = datetime.now(UTC)
    at = format_datetime(before + timedelta(seconds=100), usegmt=True).encode()
    found_s = retry_after_s([(b"retry-after", at)])
    assert 99 - (datetime.now(UTC) - before).total_seconds() <= found_s <= 100


@given(
    status=st.integers(100, 999),
    fields=st.lists(st.tuples(st.sampled_from(INTERPRETED), values), max_size=6),
    body=st.binary(max_size=20),
    is_head_request=st.booleans(),
)
def test_any_response_is_read_or_refused(
    status: int, fields: list[tuple[bytes, bytes]], body: bytes, *, is_head_request: bool
) -> None:
    lines = [b"HTTP/1.1 %d x" % status, *(name + b": " + value for name, value in fields)]
    reader = ResponseReader()
    response = reader.expect(is_head_request=is_head_request)
    try:
        reader.feed(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        reader.feed_eof()
    except BadResponse:
        return
    if response.status:
        headers = from_upstream(response.headers)
        assert 0 <= retry_after_s(headers) <= MAX_RETRY_AFTER_S
        stored = StoredResponse(response.status, headers, response.read_nowait())
        assert decode_response(encode_response(stored)) == stored
