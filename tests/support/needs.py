"""What a test needs and this machine lacks."""

import os
from typing import NoReturn

import pytest


def missing(why: str) -> NoReturn:
    """The test is skipped with a line that says what to install; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
