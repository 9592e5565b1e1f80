"""Runs a command that ends when its parent process ends, even if the parent is killed.

    python -m app.local.tether PARENT_PID COMMAND [ARGUMENT...]

Linux signals a process when its parent ends (prctl(2), PR_SET_PDEATHSIG), and the setting is kept across exec. On other
systems this process stays between the two and polls.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from types import FrameType

PR_SET_PDEATHSIG = 1
POLL_INTERVAL_S = 0.5
GRACE_S = 20.0


def main() -> None:
    """Become the command, or run and watch it."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent ended before prctl took effect
            raise SystemExit(1)
        os.execvp(command[0], command)
    raise SystemExit(watch(parent, command))


def watch(parent: int, command: list[str]) -> int:
    """Run the command until it or the parent ends. Return its exit code."""
    child = subprocess.Popen(command)

    def forward_signal(number: int, _: FrameType | None) -> None:
        child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, forward_signal)
    while child.poll() is None and os.getppid() == parent:
        time.sleep(POLL_INTERVAL_S)
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


if __name__ == "__main__":
    main()
