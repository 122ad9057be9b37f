"""Results that are open: thresholds, edits, tables and files of them."""
