"""Response headers that Penstock interprets, with values that no sane app server sends."""

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
