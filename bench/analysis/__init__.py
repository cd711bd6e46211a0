"""From tables to tables: summary, validity, comparison, merging, text."""
