"""The service: Kafka in, state in Qdrant, lists out."""
