"""The way by Kafka: requests are produced to a topic before workers move them into the flows."""
