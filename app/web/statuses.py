"""HTTP statuses that both directions of the data plane treat alike."""

NO_CONTENT = 204
WITHOUT_BODY = frozenset({NO_CONTENT, 304})
"""The final statuses whose responses never have a body, whatever their headers say (RFC 9110, 6.4.1)."""
