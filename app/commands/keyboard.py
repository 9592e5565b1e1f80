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
MAX_KEY_BYTES = 32


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

    def read(self, timeout_s: float) -> str | None:
        """Return the name of a key (`up`, `down`, `enter`, `escape`, `backspace`) or its character; None if none came.

        Raises EOFError where the terminal is gone.
        """
        if not select.select([self._file], [], [], timeout_s)[0]:
            return None
        pressed = os.read(self._file, MAX_KEY_BYTES)
        if not pressed:
            raise EOFError
        return key_name(pressed)


def key_name(pressed: bytes) -> str | None:
    """Return the name of what a key sent; None for a key that has none here, such as F1. Of pasted text, all."""
    if pressed in _NAMES:
        return _NAMES[pressed]
    text = pressed.decode(errors="replace")
    return text if text.isprintable() else None
