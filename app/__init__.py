"""Penstock: a rate limiter that does not only refuse."""
