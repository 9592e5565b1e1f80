"""What an operator reads of a dead letter: who called, and bodies as text where they are text."""

from typing import Any

import pytest

from app.admin.rest.dead_letters import DeadLetterDocument, _contents
from app.jobs.model import StoredRequest, StoredResponse


class Found:
    """The parts of a dead letter's details that are contents."""

    def __init__(self, request: StoredRequest | None, response: StoredResponse | None) -> None:
        self.request, self.response = request, response


def contents(body: bytes, subject: tuple[str, str] | None = ("https://issuer", "alice")) -> dict[str, Any]:
    request = StoredRequest("POST", b"/x", [(b"authorization", b"secret")], body, subject)
    found: Any = Found(request, StoredResponse(500, [], body))
    return _contents(found)


@pytest.mark.parametrize(
    ("body", "text"),
    [(b'{"a": 1}', '{"a": 1}'), ("é".encode(), "é"), (b"", ""), (b"\xff\xfe", None), (b"a\0b", None)],
)
def test_text_is_shown_as_text(body: bytes, text: str | None) -> None:
    shown = contents(body)
    assert (shown["request"]["body_text"], shown["response"]["body_text"]) == (text, text)
    assert "secret" not in str(shown)


def test_the_caller_is_named() -> None:
    assert contents(b"")["request"]["caller"] == {"issuer": "https://issuer", "subject": "alice"}
    assert contents(b"", None)["request"]["caller"] is None


def test_the_document_has_them() -> None:
    schema = DeadLetterDocument.model_json_schema()["$defs"]
    assert {"caller", "body_text"} <= set(schema["StoredRequestDocument"]["properties"])


def test_an_answer_that_was_too_large_has_no_text() -> None:
    found: Any = Found(None, StoredResponse(500, [], None))
    assert _contents(found)["response"]["body_text"] is None
