"""Annotated images on disk: one file a format."""
