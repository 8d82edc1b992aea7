"""Finds DICOM in what the user points at, and tells what is there. The source is only ever read."""
