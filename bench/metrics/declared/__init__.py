"""What the built-in networks and metrics declare of themselves: data, without torch or NumPy."""
