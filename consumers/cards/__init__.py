"""A user's list as a page of cards that needs nothing beside itself."""
