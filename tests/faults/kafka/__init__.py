"""Kafka in trouble, under traffic, on a real broker."""
