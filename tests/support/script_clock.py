"""A clock for the limiter's scripts that the test sets."""

CLOCK = "redis.call('TIME')"
START_US = 1_700_000_000_000_000


def with_clock(text: str) -> str:
    """The script as it is, but for the clock, which the test sets."""
    assert text.count(CLOCK) == 1
    return text.replace(CLOCK, "redis.call('HMGET', 'test:clock', 's', 'us')")
