"""Progress messages. They go to stderr because stdout is for the tables."""

import sys


def log_progress(text: str) -> None:
    """Print a line that says how far the benchmark is."""
    print(text, file=sys.stderr, flush=True)
