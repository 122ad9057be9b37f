"""Images bigger than memory: the same way from image to labels, block by block."""
