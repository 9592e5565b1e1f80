"""Response headers that Penstock interprets, with values that no sane app server sends."""

import random

INTERPRETED = (
    b"Retry-After",
    b"Connection",
    b"Keep-Alive",
    b"Content-Length",
    b"Transfer-Encoding",
    b"Trailer",
    b"Upgrade",
    b"RateLimit",
    b"Penstock-Job-Id",
    b"Date",
    b"Proxy-Connection",
    b"Link",
    b"Penstock-Job-Status",
    b"Access-Control-Allow-Origin",
    b"Content-Type",
    b"Set-Cookie",
)
HUGE = "9" * 40

VALUES = (
    b"",
    b"0",
    b"-1",
    b"nan",
    b"close, keep-alive, , close",
    b"timeout=" + HUGE.encode(),
    b"chunked",
    b"\xff\xfe\x80",
    b"x" * 5000,
    HUGE.encode(),
    b"Fri, 31 Dec 10000 23:59:59 GMT",
    f"Fri, 31 Dec {HUGE} 23:59:59 GMT".encode(),
    f"Fri, 31 Dec 2026 {HUGE}:00:00 GMT".encode(),
    f"Fri, 31 Dec 9999 23:59:59 -{HUGE}".encode(),
    b"Fri, 31 Dec 9999 23:59:59 -1200",
    b"Sat, 01 Jan 0001 00:00:00 +1200",
)


def heads(seed: int, count: int) -> list[bytes]:
    """Each header with each value, then `count` mixtures of some; the lines of a head without the first one."""
    chance = random.Random(seed)
    found = [name + b": " + value for name in INTERPRETED for value in VALUES]
    for _ in range(count):
        pairs = [chance.choice(INTERPRETED) + b": " + _value(chance) for _ in range(chance.randint(2, 5))]
        found.append(b"\r\n".join(pairs))
    return found


def _value(chance: random.Random) -> bytes:
    if chance.random() < 0.7:
        return chance.choice(VALUES)
    return bytes(chance.choice([*range(9, 13), *range(32, 256)]) for _ in range(chance.randint(0, 30)))
