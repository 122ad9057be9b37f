"""Checkpoint of DINOCell's dinov2-small; `dinocell` reads it from here."""
