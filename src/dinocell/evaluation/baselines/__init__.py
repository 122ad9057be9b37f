"""Other segmentation tools, each run in its own Python environment through one protocol."""
