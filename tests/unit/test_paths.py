"""The forms of a path: however an app server decodes it, one of the forms is what the app server sees."""

import re
from collections.abc import Callable
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import MalformedRequest
from app.identity.caller import Caller
from app.rules.active import ActiveRule
from app.rules.lookup import KeyIndex
from app.rules.match import CandidateRules, caller_keys
from app.rules.model import parse_rule
from app.web.paths import is_own, path_forms, prefix_form

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


def without_parameters(path: bytes) -> bytes:
    return b"/".join(segment.partition(b";")[0] for segment in path.split(b"/"))


def decoded_segments(raw: bytes) -> list[bytes]:
    return [unquote_to_bytes(segment) for segment in raw.split(b"/")[1:]]


def split_after_decoding(raw: bytes) -> list[bytes]:
    return unquote_to_bytes(raw).split(b"/")[1:]


READERS: dict[str, Callable[[bytes], list[bytes]]] = {
    "splits, then decodes": decoded_segments,
    "decodes, then splits": split_after_decoding,
    "removes parameters, splits, then decodes": lambda raw: decoded_segments(without_parameters(raw)),
    "removes parameters, decodes, then splits": lambda raw: split_after_decoding(without_parameters(raw)),
    "decodes, removes parameters, then splits": lambda raw: without_parameters(unquote_to_bytes(raw)).split(b"/")[1:],
}


def canonical(segments: list[bytes]) -> bytes:
    """The one spelling of a path of these segments that nobody can read in another way."""
    path = b"/" + b"/".join(quote_from_bytes(segment, safe="").encode() for segment in segments if segment)
    return path + b"/" if segments and not segments[-1] and len(path) > 1 else path


@given(paths | st.binary().map(lambda raw: b"/" + raw))
@example(b"/a%2fb")
@example(b"//a//b//")
@example(b"/a;x=1/b")
@example(b"/;/a")
@example(b"/%2%35")
@example(b"/%ff%C3%A9")
def test_a_form_is_text_in_normal_form(raw: bytes) -> None:
    for form in forms_of(raw):
        assert form.startswith("/")
        assert "//" not in form
        form.encode()
        assert form == unquote(form).replace("%", "%25") or re.search("%(2F|25|[89A-F][0-9A-F])", form)
        assert re.findall("%(?!25|2F|[89A-F][0-9A-F])", form) == []


@given(paths)
def test_no_form_has_dot_segments_a_nul_or_a_backslash(raw: bytes) -> None:
    for form in forms_of(raw):
        segments = [segment.partition(";")[0] for segment in form.split("/")]
        assert not {".", ".."} & set(segments)
        assert "\0" not in form
        assert "\\" not in form


@given(paths)
@example(b"/a;x=%2Fb")
@example(b"/a%3Bx%2Fb;y/c")
def test_every_reading_of_a_path_is_among_its_forms(raw: bytes) -> None:
    forms = forms_of(raw)
    for name, read in READERS.items():
        if forms:
            [seen] = set(path_forms(canonical(read(raw)))[:1])
            assert seen in forms, name


def spellings(text: str) -> st.SearchStrategy[bytes]:
    """Spellings of a path that every app server takes for the same one."""

    def written(character: str) -> st.SearchStrategy[bytes]:
        if character == "/":
            return st.sampled_from([b"/", b"//"])
        encoded = "".join(f"%{byte:02x}" for byte in character.encode())
        ways = [encoded.encode(), encoded.upper().encode()]
        plain = character.isascii() and (character.isalnum() or character in "-._~!$&'()*+,=:@ ")
        return st.sampled_from([*ways, character.encode()] if plain else ways)

    return st.tuples(*map(written, text)).map(b"".join)


SEGMENT = st.text(st.characters(codec="utf-8", exclude_characters="/\\;\0"), min_size=1, max_size=6).filter(
    lambda text: text not in {".", ".."}
)
PATHS = st.lists(SEGMENT, min_size=1, max_size=4).map(lambda segments: "/" + "/".join(segments))


@given(PATHS.flatmap(lambda path: st.tuples(st.just(path), spellings(path), spellings(path))))
@example(("/caf\u00e9", b"/caf%C3%A9", b"/caf%c3%a9"))
@example(("/my docs", b"/my%20docs", b"/m%79%20docs"))
@example(("/100%", b"/100%25", b"/100%25"))
def test_two_spellings_of_a_path_have_one_form_which_is_that_of_the_prefix(case: tuple[str, bytes, bytes]) -> None:
    path, one, other = case
    assert path_forms(one) == path_forms(other) == (prefix_form(one.decode("ascii")),)
    if "%" not in path and "?" not in path and "#" not in path and not path.startswith("/_penstock"):
        assert path_forms(one) == (prefix_form(path),)


@given(paths | PATHS.map(str.encode))
def test_a_normal_form_is_its_own_normal_form(raw: bytes) -> None:
    for form in forms_of(raw):
        if "?" not in form and "#" not in form and not is_own(form):
            assert prefix_form(form) == (form.rstrip("/") or "/")


RATES = st.dictionaries(
    st.sampled_from(["/", "/a", "/a/b", "/b", "/a%2Fb", "/a;x=1", "/%25", "/A"]), st.integers(1, 50), min_size=1
)


def rule_for(raw: bytes, rates: dict[str, int]) -> int | None:
    """The limit of the rule that applies to a path; None without one."""
    base = {"rule_id": "r", "key_type": "user", "key_value": "*", "window_seconds": 60}
    rules = [
        ActiveRule(parse_rule(base | {"rule_id": f"r{i}", "limit": limit, "match": {"path_prefix": prefix}}), 1)
        for i, (prefix, limit) in enumerate(rates.items())
    ]
    caller = Caller("u", "iss", {}, "192.0.2.1")
    found = CandidateRules(caller, caller_keys(caller, KeyIndex()), {"rule:user:*": rules}).matches(
        "GET", path_forms(raw)
    )
    return found[0].rule.rule.limit if found else None


@given(paths, RATES)
@example(b"/a;x=%2Fb", {"/a": 1, "/a/b": 9})
@example(b"/a%2fb", {"/a": 1, "/a/b": 9})
def test_no_spelling_meets_a_looser_rule_than_the_path_for_which_an_app_server_takes_it(
    raw: bytes, rates: dict[str, int]
) -> None:
    if not forms_of(raw):
        return
    met = rule_for(raw, rates)
    for name, read in READERS.items():
        meant = rule_for(canonical(read(raw)), rates)
        assert meant is None or (met is not None and met <= meant), name


@pytest.mark.parametrize(
    ("raw", "forms"),
    [
        (b"/a;b=c", ("/a;b=c", "/a")),
        (b"/a;b/c;d", ("/a;b/c;d", "/a/c")),
        (b"/a%3bb/c", ("/a;b/c", "/a/c")),
        (b"/a;x=%2Fb", ("/a;x=%2Fb", "/a;x=/b", "/a/b", "/a")),
        (b"/a%2fb", ("/a%2Fb", "/a/b")),
        (b"/;/a", ("/;/a", "/a")),
        (b"/a/;", ("/a/;", "/a/")),
        (b"/API", ("/API",)),
        (b"//a///b//", ("/a/b/",)),
        (b"/a%252e%252e/b", ("/a%252e%252e/b",)),
        (b"/100%/%zz%2%35", ("/100%25/%25zz%2525",)),
        (b"/caf%C3%A9", ("/caf\u00e9",)),
        (b"/caf%E9", ("/caf%E9",)),
        (b"/.well-known/x", ("/.well-known/x",)),
    ],
)
def test_forms(raw: bytes, forms: tuple[str, ...]) -> None:
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
