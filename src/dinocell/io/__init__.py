"""Reading and writing: images, label images, tables, YAML, and which planes of a file are wanted."""
