"""Counting: GCRA in Redis, for live requests and for workers alike."""
