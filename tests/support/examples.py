"""How many examples Hypothesis tries, and which: by `PENSTOCK_TEST_EXAMPLES`, else by `CI`.

- `local` draws other examples in each run, and remembers those that failed.
- `ci` draws half as many, the same ones in each run: a change fails by what it does and not by luck.
- `soak` draws ten times as many, others in each run (scripts/soak).
"""

import os
import random

from hypothesis import settings
from hypothesis.internal.conjecture import providers

LOCAL_EXAMPLES = 100
SEED_IN_CI = 1


def load_profile() -> None:
    """Register the profiles and load the one that the environment names. No example has a deadline."""
    settings.register_profile("local", max_examples=LOCAL_EXAMPLES, deadline=None, print_blob=True)
    local = settings.get_profile("local")
    settings.register_profile("ci", local, max_examples=LOCAL_EXAMPLES // 2, derandomize=True)
    settings.register_profile("soak", local, max_examples=10 * LOCAL_EXAMPLES)
    profile = profile_name()
    settings.load_profile(profile)
    if profile == "ci":
        _draw_no_constants_of_the_code()


def _draw_no_constants_of_the_code() -> None:
    """Make the examples the same in each run.

    Hypothesis also draws constants that it finds in those modules of the project that are imported at the moment, which
    depends on what the process has tested before and shifts all later draws. No setting switches that off.
    """
    none_of_the_code = providers._local_constants
    assert callable(providers._get_local_constants), "another version of Hypothesis looks for constants in another way"
    providers._get_local_constants = lambda: none_of_the_code


def profile_name() -> str:
    return os.environ.get("PENSTOCK_TEST_EXAMPLES") or ("ci" if os.environ.get("CI") else "local")


def seed(variable: str) -> int:
    """What a test begins its own random draws with: as this variable says, else the same in each run of CI."""
    given = int(os.environ.get(variable, "0"))
    return given or (SEED_IN_CI if profile_name() == "ci" else random.randrange(1, 1 << 30))


def scaled(examples: int) -> int:
    """Return how many examples a test tries in the profile that is loaded, which tries `examples` in `local`."""
    loaded: int = settings().max_examples
    return examples * loaded // LOCAL_EXAMPLES
