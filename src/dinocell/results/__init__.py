"""How cells leave and come back: one file a format that other programs read."""
