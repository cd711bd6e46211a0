"""What to run: the schema of a suite, its presets, and the plan of trials."""
