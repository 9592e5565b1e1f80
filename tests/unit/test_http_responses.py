"""The reader of responses: it reads valid ones however they are split, and refuses broken ones."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import MalformedRequest
from app.http1.client.request import CHUNKED, encode_head
from app.http1.client.response import BadResponse, Response, ResponseReader
from tests.support.responses import BROKEN, GOOD, LENGTH, OK, Good


def read(pieces: list[bytes], *, ends: bool, method: str = "GET", reader: ResponseReader | None = None) -> Response:
    reader = reader or ResponseReader()
    response = reader.expect(is_head_request=method == "HEAD")
    for piece in pieces:
        reader.feed(piece)
    if ends:
        reader.feed_eof()
    return response


def split(raw: bytes, at: list[int]) -> list[bytes]:
    ends = [0, *sorted(at), len(raw)]
    return [raw[begin:end] for begin, end in pairwise(ends) if begin < end]


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good.name)
def test_a_valid_response_is_read(good: Good) -> None:
    response = read([good.raw], ends=good.ends, method=good.method)
    found = (response.status, response.read_nowait(), response.complete, response.keep_alive)
    assert found == (good.status, good.body, True, good.keeps)


@given(st.data())
def test_a_response_is_read_in_the_same_way_however_it_is_split(data: st.DataObject) -> None:
    good = data.draw(st.sampled_from(GOOD))
    pieces = split(good.raw, data.draw(st.lists(st.integers(0, len(good.raw)))))
    response = read(pieces, ends=good.ends, method=good.method)
    whole = read([good.raw], ends=good.ends, method=good.method)
    assert (response.status, response.read_nowait(), response.complete) == (good.status, good.body, True)
    assert response.headers == whole.headers
    assert response.keep_alive <= good.keeps, "a split response may lose keep-alive, but never gain it"


bodies = st.binary(max_size=200)
names = st.text("abcdefghijklmnopqrstuvwxyz-!#$%&'*+.^_`|~0123456789", min_size=1, max_size=20).map(
    lambda name: f"x-{name}".encode()
)
values = st.binary(max_size=40).map(lambda value: bytes(b for b in value if b >= 0x20 and b != 0x7F).strip())


@given(
    st.lists(st.tuples(names, values), max_size=8),
    bodies,
    st.booleans(),
    st.lists(st.integers(0, 1000), max_size=30),
)
def test_any_valid_response_is_read_as_it_was_written_however_it_is_split(
    fields: list[tuple[bytes, bytes]], body: bytes, chunked: bool, at: list[int]
) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b:  %b \r\n" % field for field in fields)
    if chunked:
        chunks = b"".join(
            b"%X\r\n%b\r\n" % (len(part), part) for part in split(body, [a % (len(body) + 1) for a in at])
        )
        raw = head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    else:
        raw = head + b"content-length: %d\r\n\r\n" % len(body) + body
    reader = ResponseReader()
    for _ in range(2):
        response = read(split(raw, [a % (len(raw) + 1) for a in at]), ends=False, reader=reader)
        assert (response.read_nowait(), response.complete, response.keep_alive) == (body, True, True)
        assert response.headers[:-1] == fields


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("size", [1, 7, 1 << 20], ids=["1 byte at a time", "7 bytes at a time", "all at once"])
def test_a_broken_response_is_refused(raw: bytes, size: int) -> None:
    if len(raw) > 10_000 and size < 10:
        size *= 1000
    with pytest.raises(BadResponse):
        read([raw[i : i + size] for i in range(0, len(raw), size)], ends=True)


@pytest.mark.parametrize("name", [name for name in BROKEN if "endless" in name])
@pytest.mark.parametrize("size", [1_000, 60_000])
def test_an_endless_response_is_refused_before_its_end(name: str, size: int) -> None:
    raw = BROKEN[name]
    with pytest.raises(BadResponse, match=r"large|many"):
        read([raw[i : i + size] for i in range(0, len(raw), size)], ends=False)


def test_a_refusal_says_what_is_wrong_with_the_response_whatever_failed_before() -> None:
    """Compiled coroutines leave such a context behind."""
    try:
        raise ValueError("something else")
    except ValueError:
        for raw, expected in ((b"nonsense", "HTTP"), (b"HTTP/1.1 101 Switching\r\n\r\n", "status 101")):
            with pytest.raises(BadResponse, match=expected) as refused:
                read([raw], ends=False)
            assert "something else" not in str(refused.value)


@pytest.mark.parametrize("byte", [*range(0x09), *range(0x0A, 0x20), 0x7F])
def test_a_control_character_in_a_header_is_refused(byte: int) -> None:
    for value in (b"a%cb" % byte, b"%cb" % byte, b"a%c" % byte):
        with pytest.raises(BadResponse):
            read([OK + b"X: " + value + b"\r\n" + LENGTH + b"\r\nabc"], ends=False)


@pytest.mark.parametrize("good", [one for one in GOOD if not one.ends and one.keeps], ids=lambda good: good.name)
def test_a_response_that_is_cut_off_anywhere_is_refused(good: Good) -> None:
    for length in range(len(good.raw)):
        with pytest.raises(BadResponse):
            read([good.raw[:length]], ends=True, method=good.method)


def test_a_reader_reads_the_next_response_after_every_one_with_keep_alive() -> None:
    reader = ResponseReader()
    for good in [one for one in GOOD if one.keeps] * 2:
        response = read([good.raw], ends=False, method=good.method, reader=reader)
        assert (response.status, response.read_nowait(), response.keep_alive) == (good.status, good.body, True), (
            good.name
        )


def test_bytes_after_a_response_are_dropped_and_end_keep_alive() -> None:
    reader = ResponseReader()
    response = reader.expect(is_head_request=False)
    reader.feed(OK + LENGTH + b"\r\nabc")
    assert response.keep_alive
    reader.feed(b"def")
    assert (response.keep_alive, response.read_nowait()) == (False, b"abc")


@pytest.mark.parametrize(("value", "seconds"), [(b"timeout=5, max=100", 5), (b"max=3, timeout = 7", 7), (b"x", None)])
def test_the_keep_alive_timeout_of_the_server_is_read(value: bytes, seconds: int | None) -> None:
    raw = OK + b"Keep-Alive: " + value + b"\r\n" + LENGTH + b"\r\nabc"
    assert read([raw], ends=False).keep_alive_timeout_s == seconds


HOST = b"app.test:81"


@pytest.mark.parametrize(
    ("method", "headers", "length", "expected"),
    [
        ("GET", [(b"host", b"x")], 0, b"host: x"),
        ("GET", [(b"a", b"b")], 0, b"host: app.test:81\r\na: b"),
        ("POST", [(b"host", b"x")], 0, b"host: x\r\ncontent-length: 0"),
        ("GET", [(b"host", b""), (b"content-length", b"0")], 0, b"host: \r\ncontent-length: 0"),
        ("PUT", [(b"host", b"x"), (b"content-length", b"9")], 3, b"host: x\r\ncontent-length: 3"),
        ("PUT", [(b"host", b"x"), (b"content-length", b"9")], None, b"host: x\r\ncontent-length: 9"),
        ("PUT", [(b"host", b"x"), (b"transfer-encoding", b"a")], None, b"host: x\r\ntransfer-encoding: chunked"),
    ],
)
def test_an_encoded_request_has_exactly_one_framing(
    method: str, headers: list[tuple[bytes, bytes]], length: int | None, expected: bytes
) -> None:
    head, announced = encode_head(method, b"/t", headers, HOST, length)
    assert head == method.encode() + b" /t HTTP/1.1\r\n" + expected + b"\r\n\r\n"
    assert (announced == CHUNKED) == (b"chunked" in expected)


@pytest.mark.parametrize(
    ("target", "field"),
    [
        (b"/a b", (b"x", b"y")),
        (b"/a\r\nX: y", (b"x", b"y")),
        (b"/", (b"x", b"y\r\nz: a")),
        (b"/", (b"x", b"y\nz: a")),
        (b"/", (b"x", b"y\rz: a")),
        (b"/", (b"x\r\nz", b"y")),
        (b"/", (b"x", b"y\0z")),
        (b"/", (b"content-length", b"1, 1")),
    ],
)
def test_a_head_that_would_be_parsed_differently_is_not_encoded(target: bytes, field: tuple[bytes, bytes]) -> None:
    with pytest.raises(MalformedRequest):
        encode_head("GET", target, [field], HOST, None)
