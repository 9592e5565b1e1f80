"""Runs a command that ends when its parent does, even by `kill -9`.

    python -m app.local.tether PARENT_PID COMMAND [ARGUMENT...]

Linux tells a process of its parent's death (prctl(2), PR_SET_PDEATHSIG); the setting outlives exec. Elsewhere this
process stays between the two and watches.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from types import FrameType

PR_SET_PDEATHSIG = 1
LOOK_EVERY_S = 0.5
GRACE_S = 20.0


def main() -> None:
    """Become the command, or stay and watch over it."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before it was heard of
            raise SystemExit(1)
        os.execvp(command[0], command)
    raise SystemExit(watch(parent, command))


def watch(parent: int, command: list[str]) -> int:
    """Run the command as a child until it ends or the parent does; its exit code."""
    child = subprocess.Popen(command)

    def pass_on(number: int, _: FrameType | None) -> None:
        child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    while child.poll() is None and os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


if __name__ == "__main__":
    main()
