"""What a reading list is told: a priority with its reason, and the messages."""
