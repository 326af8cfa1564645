"""The wire: bytes to events and lists to bytes, pure."""
