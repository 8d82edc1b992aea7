"""Events → what a person or a log is told."""
