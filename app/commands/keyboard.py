"""Keys of a terminal, one at a time and without waiting for the end of a line."""

import os
import select
import sys
from types import TracebackType
from typing import Any, Self

_NAMES = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b": "escape",
    b"\r": "enter",
    b"\n": "enter",
    b"\x7f": "backspace",
    b"\x08": "backspace",
}
MAX_BYTES = 256


class Keyboard:
    """Reads the keys of standard input, which must be a terminal. Its mode is restored at the end."""

    def __enter__(self) -> Self:
        import termios
        import tty

        self._file = sys.stdin.fileno()
        self._mode: list[Any] = termios.tcgetattr(self._file)
        tty.setcbreak(self._file)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import termios

        termios.tcsetattr(self._file, termios.TCSADRAIN, self._mode)

    def read(self, timeout_s: float) -> list[str]:
        """Return the keys that came, by name (`up`, `down`, `enter`, `escape`, `backspace`) or character.

        Raises EOFError where the terminal is gone.
        """
        if not select.select([self._file], [], [], timeout_s)[0]:
            return []
        sent = os.read(self._file, MAX_BYTES)
        if not sent:
            raise EOFError
        return keys_of(sent)


def keys_of(sent: bytes) -> list[str]:
    """Return the keys that sent these bytes: several if somebody types fast or pastes. Others, such as F1, are none."""
    if sent in _NAMES:
        return [_NAMES[sent]]
    if sent.startswith(b"\x1b"):
        return []
    characters = [_NAMES.get(character.encode(), character) for character in sent.decode(errors="replace")]
    return [key for key in characters if key.isprintable()]
