"""Numbers of every cell: shape, position, intensity, outline, confidence."""
