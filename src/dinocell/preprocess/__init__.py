"""File values to the 8-bit gray image that the network sees."""
