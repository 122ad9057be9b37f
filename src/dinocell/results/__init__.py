"""Results in files that other programs read, one file a format, and back to labels."""
