"""Three ways in: terminal prompts, a JSON file, a manifest."""
