"""How many examples Hypothesis tries, and which: by `PENSTOCK_TEST_EXAMPLES`, else by `CI`.

- `local` draws other examples in each run, and remembers those that failed.
- `ci` draws half as many, the same ones in each run: a change fails by what it does and not by luck.
- `soak` draws ten times as many, others in each run (scripts/soak).
"""

import os

from hypothesis import settings

LOCAL_EXAMPLES = 100


def load_profile() -> None:
    """Register the profiles and load the one that the environment names. No example has a deadline."""
    settings.register_profile("local", max_examples=LOCAL_EXAMPLES, deadline=None, print_blob=True)
    local = settings.get_profile("local")
    settings.register_profile("ci", local, max_examples=LOCAL_EXAMPLES // 2, derandomize=True)
    settings.register_profile("soak", local, max_examples=10 * LOCAL_EXAMPLES)
    settings.load_profile(os.environ.get("PENSTOCK_TEST_EXAMPLES") or ("ci" if os.environ.get("CI") else "local"))


def scaled(examples: int) -> int:
    """Return how many examples a test tries in the profile that is loaded, which tries `examples` in `local`."""
    loaded: int = settings().max_examples
    return examples * loaded // LOCAL_EXAMPLES
