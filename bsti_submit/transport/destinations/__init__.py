"""Where cases can go: one file each."""
