"""The forms of a path: however an app server decodes it, one of the forms is what the app server sees."""

from collections.abc import Callable
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import MalformedRequest
from app.web.paths import path_forms

PIECES = [
    *(b"/", b"//", b"a", b"b", b"A", b".", b"..", b";", b";x=1", b"%", b"%2f", b"%2F", b"%252f", b"%2e", b"%2E%2e"),
    *(b"%25", b"%00", b"%5c", b"%5C", b"\\", b"%3b", b"%3B", b"%c0%ae", b"%C0%AF", b"%e0%80%ae", b"%f0%80%80%ae"),
    *(b"%c3%a4", b"%zz", b"~", b"%7e", b"%20", b"+", b"_penstock", b"%5fpenstock"),
]
paths = st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: b"/" + b"".join(pieces))


def forms_of(raw: bytes) -> tuple[str, ...]:
    """No forms for a path that is refused."""
    try:
        return path_forms(raw)
    except MalformedRequest:
        return ()


def merged(path: bytes) -> bytes:
    while b"//" in path:
        path = path.replace(b"//", b"/")
    return path


def without_parameters(path: bytes) -> bytes:
    return b"/".join(segment.partition(b";")[0] for segment in path.split(b"/"))


READERS: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda raw: raw,
    "decoded": unquote_to_bytes,
    "decoded and merged": lambda raw: merged(unquote_to_bytes(raw)),
    "merged": merged,
    "decoded, without parameters": lambda raw: merged(without_parameters(unquote_to_bytes(raw))),
    "without parameters, then decoded": lambda raw: merged(unquote_to_bytes(without_parameters(raw))),
}


@given(paths | st.binary().map(lambda raw: b"/" + raw))
@example(b"/a%2fb")
@example(b"//a//b//")
@example(b"/a;x=1/b")
@example(b"/;/a")
def test_the_first_form_is_the_raw_path_and_all_forms_differ(raw: bytes) -> None:
    forms = forms_of(raw)
    if forms:
        assert forms[0] == raw.decode("latin-1")
        assert len(set(forms)) == len(forms)
        assert all(form.startswith("/") for form in forms)


@given(paths)
def test_no_form_has_dot_segments_a_nul_or_a_backslash(raw: bytes) -> None:
    for form in forms_of(raw)[1:] or forms_of(raw):
        segments = [segment.partition(";")[0] for segment in form.split("/")]
        assert not {".", ".."} & set(segments)
        assert "\0" not in form
        assert "\\" not in form


@given(paths)
def test_the_path_decoded_once_with_slashes_merged_is_among_the_forms(raw: bytes) -> None:
    forms = forms_of(raw)
    if forms:
        assert merged(unquote_to_bytes(raw)).decode("latin-1") in forms
        assert merged(without_parameters(unquote_to_bytes(raw))).decode("latin-1") in forms


@given(paths, st.sampled_from(["/a", "/b", "/a/b"]))
@example(b"/a%2fb", "/a")
@example(b"/;x/a", "/a")
def test_no_app_server_sees_a_prefix_that_no_form_has(raw: bytes, prefix: str) -> None:
    """So a rule for a prefix applies to every path that any of these readers takes for one below it."""
    forms = forms_of(raw)
    if not forms:
        return
    for name, read in READERS.items():
        seen = read(raw).decode("latin-1")
        if seen == prefix or seen.startswith(prefix + "/"):
            assert any(form == prefix or form.startswith(prefix + "/") for form in forms), name


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_a_fully_encoded_path_has_its_decoded_form(text: str) -> None:
    raw = b"/" + quote_from_bytes(text.encode(), safe="").encode()
    for form in forms_of(raw)[1:2]:
        assert form == merged(b"/" + text.encode()).decode("latin-1") or ";" in text


@pytest.mark.parametrize(
    ("raw", "forms"),
    [
        (b"/a;b=c", ("/a;b=c", "/a")),
        (b"/a;b/c;d", ("/a;b/c;d", "/a/c")),
        (b"/a%3bb/c", ("/a%3bb/c", "/a;b/c", "/a/c")),
        (b"/;/a", ("/;/a", "/a")),
        (b"/a/;", ("/a/;", "/a/")),
        (b"/API", ("/API",)),
        (b"/a%252e%252e/b", ("/a%252e%252e/b", "/a%2e%2e/b")),
        (b"/caf%C3%A9", ("/caf%C3%A9", "/caf\xc3\xa9")),
        (b"/caf%E9", ("/caf%E9", "/caf\xe9")),
    ],
)
def test_a_path_with_parameters_has_forms_with_and_without_them(raw: bytes, forms: tuple[str, ...]) -> None:
    assert path_forms(raw) == forms


@pytest.mark.parametrize(
    "raw",
    [
        b"/a/..;/b",
        b"/a/.;x/b",
        b"/..;x=1",
        b"/a/%2e%2e;/b",
        b"/a/..%3b/b",
        b"/a/%c0%ae%c0%ae/b",
        b"/a%c0%afb",
        b"/a/%e0%80%ae/b",
        b"/a/%f0%80%80%af/b",
        b"/a/%2e./b",
        b"/./a",
        b"/a/.",
        b"/%2e",
    ],
)
def test_hidden_dots_and_slashes_are_refused(raw: bytes) -> None:
    with pytest.raises(MalformedRequest):
        path_forms(raw)
