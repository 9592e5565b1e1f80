"""Faults of a real Kafka broker under traffic."""
