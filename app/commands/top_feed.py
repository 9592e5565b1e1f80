"""Asks the admin API again and again, beside the terminal, which never waits for an answer."""

import threading
from typing import Any, NamedTuple

from app.commands.admin_client import AdminClient
from app.errors import PenstockError

MAX_FLOWS = 200


class TopAnswer(NamedTuple):
    """What the admin API answered last; `problem` says why there was no answer since."""

    status: dict[str, Any]
    flows: list[dict[str, Any]]
    total_flows: int
    problem: str = ""


class TopFeed:
    """Keeps an answer that is at most `interval_s` old, and the time that a call takes."""

    def __init__(self, client: AdminClient, interval_s: float, sort: str) -> None:
        self._client = client
        self._interval_s = interval_s
        self._sort = sort
        self._wake = threading.Event()
        self._ended = False
        self.answer = self._ask()

    def start(self) -> None:
        """Begin to ask. The thread ends with the process."""
        threading.Thread(target=self._run, daemon=True).start()

    def ask_now(self, sort: str) -> None:
        """Ask at once, for flows in this order."""
        self._sort = sort
        self._wake.set()

    def end(self) -> None:
        """Ask no more."""
        self._ended = True
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._interval_s)
            self._wake.clear()
            if self._ended:
                return
            try:
                self.answer = self._ask()
            except PenstockError as error:
                self.answer = self.answer._replace(problem=str(error))

    def _ask(self) -> TopAnswer:
        status = self._client.call("GET", "status")
        page = self._client.call("GET", "flows", query={"sort": self._sort, "limit": MAX_FLOWS})
        return TopAnswer(status, page["flows"], page["total"])
