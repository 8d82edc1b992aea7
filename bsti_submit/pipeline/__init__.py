"""The stages put together: survey, selection, stream, package. No prompt, no network, no format of its own."""
