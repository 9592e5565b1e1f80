"""The states of a client's connection."""

from enum import Enum, auto
from typing import Final


class ConnectionState(Enum):
    """What a connection does with the bytes that it receives."""

    IDLE = auto()
    """The next bytes begin a request."""
    HEAD = auto()
    """They belong to the head of a request."""
    BODY = auto()
    """They belong to the body of a request."""
    READ_CLOSED = auto()
    """They are ignored: the last request of the connection has been received, or one had to be refused."""
    LINGERING = auto()
    """They are discarded up to a limit: the last response has been written, and the client may not have read it."""


# mypyc compiles these to C variables, while members of an enum are looked up in its class each time.
IDLE: Final = ConnectionState.IDLE
HEAD: Final = ConnectionState.HEAD
BODY: Final = ConnectionState.BODY
READ_CLOSED: Final = ConnectionState.READ_CLOSED
LINGERING: Final = ConnectionState.LINGERING
