"""Cases of the outbox → a destination, over lines that fail."""
