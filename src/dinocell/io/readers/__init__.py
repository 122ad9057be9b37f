"""How image files are read: one file a format, each with a `LazyImage` of its own."""
