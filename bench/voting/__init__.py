"""Asking people: ballots from a run's pictures, a local page that takes votes, and a file of it."""
