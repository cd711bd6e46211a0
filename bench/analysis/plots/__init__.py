"""Figures of a run, for the page, for papers and for notebooks."""
