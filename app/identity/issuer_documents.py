"""Fetches the JSON documents that an issuer publishes: its keys, and its OpenID Connect configuration."""

import asyncio
from typing import Any

import httpx
import orjson

FETCH_TIMEOUT_S = 5.0
MAX_DOCUMENT_BYTES = 1 << 20

PLAIN_JSON = {"Accept": "application/json", "Accept-Encoding": "identity"}
"""The headers of a request whose answer `read_body` reads: no content coding is decoded."""


async def fetch_document(client: httpx.AsyncClient, url: str) -> Any:  # noqa: ANN401 - whatever the issuer sent
    """Fetch and parse a document. Raises httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError."""
    async with (
        asyncio.timeout(FETCH_TIMEOUT_S),
        client.stream("GET", url, headers=PLAIN_JSON, follow_redirects=False) as response,
    ):
        response.raise_for_status()
        return orjson.loads(await read_body(response))


async def read_body(response: httpx.Response) -> bytes:
    """Read a body without decoding any content coding. Raises ValueError if it has more than MAX_DOCUMENT_BYTES."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_DOCUMENT_BYTES:
            raise ValueError("the document is too large")
    return bytes(body)
