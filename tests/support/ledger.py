"""Ledgers of what was promised and of what arrived, and the client who writes the first.

The app server writes the second (tests/support/app_server.py); tests/support/account.py compares them.
"""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.system import Answer, System

LONGEST_ANSWER_S = 20.0


class Ledger:
    """Lines of JSON, each with the kernel before what it says counts: it outlives whatever is killed.

    They need not be on disk: a disk that stalls would hold up the proxies that a test runs in the same event loop.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def write(self, **entry: Any) -> None:  # noqa: ANN401
        with self._file.open("ab", buffering=0) as out:
            out.write(json.dumps(entry).encode() + b"\n")

    def read(self) -> list[dict[str, Any]]:
        lines = self._file.read_bytes().splitlines() if self._file.exists() else []
        return [json.loads(line) for line in lines]


class Client:
    """One user who sends requests one after the other, each until it is accepted, and remembers every 202."""

    def __init__(self, system: System, user: str, ledger: Ledger) -> None:
        self._system = system
        self._user = user
        self._ledger = ledger
        self._headers = system.auth(user)
        self.refused: Counter[int] = Counter()
        """Answers that promised nothing, by status; 0: none came."""
        self.refused_numbers: Counter[int] = Counter()
        """How often each request was refused before it was accepted."""

    async def send(self, number: int, path: str = "/{user}/{number}", **more: Any) -> str | None:  # noqa: ANN401
        """The job; None where the request was within the limit.

        A connection that ends says nothing of whether the request was accepted: it is repeated with its idempotency
        key, and so is the same job.
        """
        target = path.format(user=self._user, number=number)
        more = {"data": b"x"} | more
        more["headers"] = {"Idempotency-Key": f"{self._user}-{number}"} | more.get("headers", {})
        while True:
            answer = await self._try("POST", target, **more)
            if answer is not None and "Location" in answer.headers:
                job: str = answer.json()["id"]
                self._ledger.write(user=self._user, number=number, job=job)
                return job
            if answer is not None and answer.status == 200:
                return None
            assert answer is None or answer.status == 503, f"{answer.status}: {answer.body!r}"
            self.refused[answer.status if answer is not None else 0] += 1
            self.refused_numbers[number] += 1
            await asyncio.sleep(0.05)

    async def cancel(self, job: str) -> None:
        """Write down that it is canceled, once that is acknowledged; it may have been sent before.

        A connection that ends, and 503, say nothing of whether it is canceled: it is asked for again, which changes
        nothing where it is.
        """
        while True:
            answer = await self._try("DELETE", f"/_penstock/jobs/{job}")
            if answer is not None and answer.status == 204:
                self._ledger.write(canceled=job)
                return
            if answer is not None and answer.status == 409:
                return
            assert answer is None or answer.status == 503, f"{answer.status}: {answer.body!r}"
            await asyncio.sleep(0.05)

    async def _try(self, method: str, target: str, **more: Any) -> Answer | None:  # noqa: ANN401
        # New connections reach every edge.
        headers = self._headers | {"Connection": "close"} | more.pop("headers", {})
        timeout = aiohttp.ClientTimeout(LONGEST_ANSWER_S)
        try:
            return await self._system.request(method, target, headers=headers, timeout=timeout, **more)
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            return None
