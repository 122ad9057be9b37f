"""Scores of data sets, search for settings, reports, and comparison with other tools."""
