"""What an operator reads of a dead letter: who called, and bodies as text where they are text."""

from typing import Any

import pytest

from app.admin.services.dead_letters_model import DeadLetterDocument, StoredRequestDocument, StoredResponseDocument
from app.jobs.model import StoredRequest, StoredResponse


def shown_request(body: bytes, subject: tuple[str, str] | None = ("https://issuer", "alice")) -> dict[str, Any]:
    request = StoredRequest("POST", b"/x", [(b"authorization", b"secret")], body, subject)
    return StoredRequestDocument.of(request, ()).model_dump()


def shown_response(body: bytes | None) -> dict[str, Any]:
    return StoredResponseDocument.of(StoredResponse(500, [], body)).model_dump()


@pytest.mark.parametrize(
    ("body", "text"),
    [(b'{"a": 1}', '{"a": 1}'), ("é".encode(), "é"), (b"", ""), (b"\xff\xfe", None), (b"a\0b", None)],
)
def test_text_is_shown_as_text(body: bytes, text: str | None) -> None:
    request = shown_request(body)
    assert (request["body_text"], shown_response(body)["body_text"]) == (text, text)
    assert "secret" not in str(request)


def test_the_caller_is_named() -> None:
    assert shown_request(b"")["caller"] == {"issuer": "https://issuer", "subject": "alice"}
    assert shown_request(b"", None)["caller"] is None


def test_the_document_has_them() -> None:
    schema = DeadLetterDocument.model_json_schema()["$defs"]
    assert {"caller", "body_text"} <= set(schema["StoredRequestDocument"]["properties"])


def test_an_answer_that_was_too_large_has_no_text() -> None:
    assert shown_response(None)["body_text"] is None
