"""Response headers that no sane app server sends: the answer is passed on or is an UpstreamError, and nothing leaks."""

import pytest

from app.errors import UpstreamError
from tests.support.hostile_headers import INTERPRETED, VALUES, heads
from tests.support.raw_app_server import Asked, RawServer, serving


@pytest.mark.parametrize("status", [200, 429, 503])
async def test_no_response_header_breaks_an_answer_or_leaks_a_connection(status: int) -> None:
    lines = heads(status, 200)

    async def answer(asked: Asked) -> bool:
        await asked.wire.say(b"HTTP/1.1 %d x\r\n%s\r\n\r\n" % (status, lines[int(asked.target[1:])]))
        return True

    async with serving(RawServer(answer)) as client:
        found: list[int | str] = []
        for number in range(len(lines)):
            try:
                found.append((await client.get(f"/{number}"))[0])
            except UpstreamError as error:
                found.append(type(error).__name__)
        await client.none_in_use()
        assert set(found) <= {status, "UpstreamCut"}
        retry_after = INTERPRETED.index(b"Retry-After") * len(VALUES)
        assert found[retry_after : retry_after + len(VALUES)] == [status] * len(VALUES)
