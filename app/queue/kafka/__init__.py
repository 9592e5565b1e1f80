"""The Kafka queue: requests wait in a topic, and workers move them into the flows while there is room."""
