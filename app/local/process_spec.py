"""What a child process of `penstock up` is: its command, and where it listens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run, and where it will listen."""

    role: str
    index: int
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    url: str | None = field(default=None, repr=False)
    ops_port: int | None = None
    health_path: str = "/healthz"
    """A path on `ops_url`, or on `url` for a process without an ops port."""
    advice: "Advice | None" = None
    """What to say about its trouble beside the last line of its log."""
    notice: "Advice | None" = None
    """What to say about a start that succeeded."""

    @property
    def name(self) -> str:
        """The name in messages and of the log file."""
        return f"{self.role}-{self.index}"

    @property
    def ops_url(self) -> str | None:
        """The URL of its metrics and health."""
        return None if self.ops_port is None else f"http://127.0.0.1:{self.ops_port}"

    @property
    def public_url(self) -> str | None:
        """`url` without a password."""
        if self.url is None or "@" not in self.url:
            return self.url
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


Advice = Callable[[list[str]], str]
"""What a person can do, by the last lines of a log; empty if nothing is known."""
