"""Labels to distance map and back: distance transform, flooding, watershed."""
