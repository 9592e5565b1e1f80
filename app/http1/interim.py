"""Interim responses: those with a 1xx status, of which any number may come before the final one (RFC 9110, 15.2)."""

from collections.abc import Callable

from app.web.headers import Headers

OnInterim = Callable[[int, Headers], None]
"""Is called with the status and the headers; their names are in lower case."""
