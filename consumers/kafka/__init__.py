"""A worker's Kafka tasks: intake, refill and the dead-letter outbox."""
