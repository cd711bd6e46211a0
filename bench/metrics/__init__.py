"""Scores: networks turn pictures into features, pure functions turn those into numbers."""
