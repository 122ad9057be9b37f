"""Uploaded files, read in a process of their own into planes with coarser levels."""
