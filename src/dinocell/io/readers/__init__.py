"""Readers of image files: one `Reader` for each format, with a `LazyImage` of its own."""
