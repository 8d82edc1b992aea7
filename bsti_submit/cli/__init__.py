"""The command line: one command a file, and `wiring`, the only place that builds things."""
