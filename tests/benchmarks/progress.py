"""What is going on, to stderr: stdout has the tables alone."""

import sys


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
