"""Programs that write to topics, and the local Kafka broker they write to."""
