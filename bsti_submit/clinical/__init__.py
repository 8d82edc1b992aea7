"""The clinical record: one form, three ways in, and the same record and messages from each."""
