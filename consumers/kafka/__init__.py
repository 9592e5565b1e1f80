"""What a worker does with Kafka: intake, refill, and publishing dead letters."""
